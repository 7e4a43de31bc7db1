"""The engine goes on with a stage where a plain loop of torch and diffusers stopped."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from app.diffusion.forward import q_sample
from app.errors import StudioError
from app.training import checkpoint
from app.training.objective import Objective
from app.training.optimisers import power_exponent
from app.training.resume import open_run
from app.training.trainer import objective_of
from tests.conftest import save_tiny_stage
from tests.training.tiny import no_init
from tests.training.tiny_stage import save_large_pictures, stage_config
from tools.take_over import take_over

STEP = 4


def left_by_a_script(folder: Path) -> tuple[Any, torch.optim.AdamW, dict[str, torch.Tensor]]:
    """Write what a script leaves after some steps; return its network, optimiser and average."""
    save_tiny_stage(folder / "model")
    (folder / "model" / "bands.json").rename(folder / "bands.json")
    network: Any = UNet2DModel.from_pretrained(folder / "model" / "unet").eval()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-4, (0.9, 0.99), weight_decay=0)
    draw = torch.Generator().manual_seed(0)
    average = {n: w.detach().clone() for n, w in network.named_parameters()}
    for _ in range(STEP):
        x, t = torch.randn(2, 27, 8, 8, generator=draw), torch.tensor([1, 2])
        network(x, t, class_labels=t).sample.square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    average = {n: w.detach().lerp(average[n], 0.5) for n, w in network.named_parameters()}
    kept = {"net": network.state_dict(), "average": average, "optimiser": optimiser.state_dict()}
    torch.save(kept | {"step": STEP}, folder / "state.pt")
    return network, optimiser, average


def test_the_next_step_is_the_one_that_the_script_would_take(tmp_path: Path) -> None:
    network, optimiser, average = left_by_a_script(tmp_path / "script")
    settings = stage_config(save_large_pictures(tmp_path / "data"), gradient_clip=None)
    assert take_over(tmp_path / "script", settings, tmp_path / "run") == STEP
    with open_run(settings, tmp_path / "run", load_init=no_init) as run:
        assert run.state.step == STEP
        assert run.architecture.bands is not None
        assert run.architecture.bands["std"] == pytest.approx([0.1] * 24)
        views = run.decoded.training.views(settings, STEP, 1000)
        objective = objective_of(run.architecture, settings)
        step = next(run.steps())
        raw, ema = run.state.weights(), run.state.weights("ema-0.100")
    batch = views.rows(slice(0, 4))
    assert isinstance(objective, Objective)
    given: Any = batch.condition
    x_t = q_sample(objective.schedule, batch.x_0, batch.t, batch.eps)
    out = network(torch.cat([x_t, given.low_res], 1), batch.t, class_labels=given.low_res_t).sample
    loss = objective.losses(out, batch.x_0, x_t, batch.t, batch.eps).total.mean()
    loss.backward()
    for group in optimiser.param_groups:
        group["lr"] = settings.rate_at(STEP)
    optimiser.step()
    assert step.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    decay = (1 - 1 / (STEP + 1)) ** (power_exponent(0.1) + 1)
    for name, weight in network.named_parameters():
        torch.testing.assert_close(raw[name], weight.detach(), rtol=0, atol=1e-6)
        expected = weight.detach().lerp(average[name], decay)
        torch.testing.assert_close(ema[name], expected, rtol=0, atol=1e-6)


def test_without_its_state_the_average_goes_on_at_the_courses_last_step(tmp_path: Path) -> None:
    script = tmp_path / "script"
    left_by_a_script(script)
    (script / "state.pt").unlink()
    (script / "metrics.csv").write_text("step,views\n3,12\n6,24\n")
    settings = stage_config(save_large_pictures(tmp_path / "data"))
    assert take_over(script, settings, tmp_path / "run") == 6
    weights = UNet2DModel.from_pretrained(script / "model" / "unet").state_dict()
    for kind in ("weights", "ema-0.100"):
        path = tmp_path / "run" / "checkpoints" / "00000006" / f"{kind}.safetensors"
        stored = checkpoint.read_tensors(path)
        assert all(torch.equal(stored[name], weights[name]) for name in weights)
    with open_run(settings, tmp_path / "run", load_init=no_init) as run:
        assert next(run.steps()).step == 7


def test_what_doesnt_fit_the_settings_isnt_taken_over(tmp_path: Path) -> None:
    script = tmp_path / "script"
    left_by_a_script(script)
    data = save_large_pictures(tmp_path / "data")
    short = stage_config(data, phases=[{"size": 8, "views": 8, "sides": [52]}])
    with pytest.raises(StudioError, match="did 4 steps, and the settings plan 2"):
        take_over(script, short, tmp_path / "run")
    plain = json.loads(short.to_json()) | {"stage": None, "phases": [{"size": 16, "views": 80}]}
    with pytest.raises(StudioError, match="is a second stage"):
        take_over(script, type(short).checked(plain), tmp_path / "run")
    assert not (tmp_path / "run").exists()
