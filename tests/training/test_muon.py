"""Muon: against torch's own, which takes matrices alone, and AdamW for all other weights."""

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from app.training.optimisers import Muon, orthogonal


def network(**settings: int) -> UNet2DModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet: UNet2DModel = UNet2DModel(
            sample_size=8,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=8,
            **settings,
        )
    module: nn.Module = unet
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return unet


def give_gradients(parameters: list[nn.Parameter], step: int) -> None:
    draw = torch.Generator().manual_seed(step)
    for parameter in parameters:
        # Laid out as the parameter is, as autograd does it.
        gradient = torch.randn(parameter.shape, generator=draw)
        parameter.grad = torch.empty_like(parameter).copy_(gradient)


def test_an_orthogonal_matrix_has_the_same_singular_vectors_and_values_near_1() -> None:
    draw = torch.Generator().manual_seed(0)
    for shape in ((12, 40), (40, 12), (16, 16)):
        matrix = torch.randn(shape, generator=draw)
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        values = u.T @ orthogonal(matrix) @ vh.T
        diagonal = values.diagonal()
        assert 0.3 < float(diagonal.min()) <= float(diagonal.max()) < 1.3
        assert float((values - diagonal.diag()).abs().max()) < 1e-4


def test_hidden_weights_move_as_torchs_muon_moves_them_as_matrices() -> None:
    unet = network()
    hidden = {
        name: p
        for name, p in unet.named_parameters()
        if p.ndim > 1 and not name.startswith(("conv_in", "conv_out"))
    }
    assert any(p.ndim == 4 and p.shape[2] == 3 for p in hidden.values())
    # Of the columns' order an orthogonal matrix is independent: torch's gets another.
    matrices = {name: nn.Parameter(p.detach().flatten(1).clone()) for name, p in hidden.items()}
    ours = Muon(unet, torch.bfloat16, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1)
    theirs = torch.optim.Muon(
        matrices.values(), lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    start = {name: p.detach().clone() for name, p in matrices.items()}
    for step in range(3):
        give_gradients(list(unet.parameters()), step)
        for name, matrix in matrices.items():
            matrix.grad = gradient(hidden[name]).flatten(1).clone()
        ours.step()
        theirs.step()
    for name, matrix in matrices.items():
        moved = hidden[name].detach().flatten(1) - start[name]
        expected = matrix.detach() - start[name]
        assert float((moved - expected).norm() / expected.norm()) < 0.03  # bfloat16's rounding


def test_all_other_weights_move_as_adamw_moves_them() -> None:
    unet, other = network(num_class_embeds=4), network(num_class_embeds=4)
    ours = Muon(unet, torch.float32, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1)
    theirs = torch.optim.AdamW(other.parameters(), 1e-2, (0.9, 0.99), weight_decay=0.1)
    for step in range(3):
        give_gradients(list(unet.parameters()), step)
        give_gradients(list(other.parameters()), step)
        ours.step()
        theirs.step()
    named = dict(other.named_parameters())
    alike = {n for n, p in unet.named_parameters() if torch.allclose(p, named[n], atol=1e-6)}
    ends = ("conv_in", "conv_out", "class_embedding")
    assert alike == {n for n, p in named.items() if p.ndim == 1 or n.startswith(ends)}
    assert {"conv_in.weight", "conv_out.weight", "class_embedding.weight"} <= alike


def test_a_step_is_as_large_as_one_of_adamw() -> None:
    """0.2 of the learning rate in the root mean square, whatever the gradient's scale."""
    unet = network()
    before = {n: p.detach().clone() for n, p in unet.named_parameters()}
    optimiser = Muon(unet, torch.float32, lr=1e-2, betas=(0.9, 0.99), weight_decay=0)
    give_gradients(list(unet.parameters()), 0)
    for parameter in unet.parameters():
        parameter.grad = gradient(parameter) * 1e-4
    optimiser.step()
    for name, p in unet.named_parameters():
        if p.ndim == 4 and not name.startswith(("conv_in", "conv_out")):
            moved = float((p.detach() - before[name]).square().mean().sqrt())
            # Of `rows` singular values of 1 the mean square is 1 / columns; times columns, 1.
            assert 0.12e-2 < moved < 0.25e-2


def gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
