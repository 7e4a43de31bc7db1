"""A model with other groups in its norms."""

from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from torch import Tensor, nn

from app.__main__ import main
from app.cli.regroup import regroup
from app.errors import StudioError
from tests.training.pictures import landscapes, save_pictures

CHANNELS, GROUPS = (16, 32), 8


def network() -> UNet2DModel:
    """A network whose norms have learnt scales and offsets."""
    torch.manual_seed(0)
    made: UNet2DModel = UNet2DModel(
        sample_size=16,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        norm_num_groups=GROUPS,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    made.eval()
    for module in made.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
    return made


def batches() -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    pictures = torch.randn((4, 8, 3, 16, 16), generator=draw)
    tints = torch.randn((4, 8, 3, 1, 1), generator=draw)
    return [(x + tint, torch.arange(8) * 125) for x, tint in zip(pictures, tints, strict=True)]


@torch.no_grad()
def outputs(of: UNet2DModel) -> Tensor:
    return torch.cat([of(x_t, t).sample for x_t, t in batches()])


def test_the_same_groups_change_nothing() -> None:
    model = network()
    before = outputs(model)
    regroup(model, GROUPS, batches())
    torch.testing.assert_close(outputs(model), before, rtol=1e-3, atol=1e-4)


def test_the_fitted_norms_stay_nearer_to_the_function_than_the_old_ones() -> None:
    model, unfitted = network(), network()
    before = outputs(model)
    regroup(model, 2, batches())
    for module in unfitted.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = 2
    assert model.config["norm_num_groups"] == 2
    error, without = ((outputs(m) - before).square().mean() for m in (model, unfitted))
    assert 0 < error < 0.7 * without


def test_groups_that_do_not_divide_the_channels_are_refused_before_anything_changes() -> None:
    model = network()
    before = outputs(model)
    with pytest.raises(StudioError, match="don't fall into 3 groups"):
        regroup(model, 3, batches())
    torch.testing.assert_close(outputs(model), before)


def test_the_copy_opens_in_diffusers_and_the_model_stays(
    model_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PLEIN_AIR_MODELS", str(model_root))
    save_pictures(tmp_path / "data", landscapes(20, seed=1))
    arguments = ["regroup", "tiny", str(tmp_path / "copy"), "--groups", "2"]
    arguments += ["--data", str(tmp_path / "data")]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0, capsys.readouterr().err
    norms = [DDPMPipeline.from_pretrained(folder).unet.config["norm_num_groups"]
             for folder in (tmp_path / "copy", model_root / "tiny")]  # fmt: skip
    assert norms[0] == 2 != norms[1]
    assert str(model_root) not in (tmp_path / "copy" / "unet" / "config.json").read_text()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    assert "is there already" in capsys.readouterr().err
