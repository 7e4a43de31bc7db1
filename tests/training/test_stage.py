"""A second stage trained: its views, its objective, its runs, and what they leave."""

import json
import math
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.datasets.folder import DecodedPictures
from app.diffusion.cascade import BANDS, Bands, enlarged
from app.diffusion.forward import q_sample
from app.diffusion.schedule import NoiseSchedule
from app.errors import StudioError
from app.images.pixels import to_unit
from app.models.files import ModelFiles
from app.models.stages import StageFiles
from app.models.store import ModelStore
from app.painting.film import Moment
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.training import checkpoint
from app.training.architecture import InitialModel, load_initial_model
from app.training.config import TrainConfig
from app.training.export import export_choice
from app.training.resume import open_run
from app.training.stage_data import StageData, StageViews, blurred, draw_stage, pair
from app.training.stage_objective import StageObjective
from tests.conftest import save_tiny_model, save_tiny_stage
from tests.torchrun import torchrun
from tests.training.pictures import landscapes, save_pictures
from tests.training.test_run import read_metrics
from tests.training.tiny import no_init
from tests.training.tiny_stage import STAGE, save_large_pictures, stage_config, stage_fields

BAND_DEVIATIONS = torch.linspace(0.3, 0.01, BANDS)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_large_pictures(tmp_path_factory.mktemp("large"))


def views(settings: TrainConfig, step: int) -> StageViews:
    names = tuple(map(str, range(6)))
    pictures = DecodedPictures(names, {52: landscapes(6, 52)})
    return StageData(pictures, Bands(BAND_DEVIATIONS)).views(settings, step, 1000)


def go_on(settings: TrainConfig, folder: Path, steps: int | None = None) -> None:
    with open_run(settings, folder, load_init=no_init) as run:
        for step in islice(run.steps(), steps):
            run.after(step)


def test_a_stage_sees_t_alone_at_first_then_all_t_and_then_whole_pictures(large: Path) -> None:
    settings = stage_config(large)
    first, later, last = (views(settings, step).rows(slice(0, 4)) for step in (1, 2, 11))
    assert first.t.tolist() == [999] * 4
    assert (later.t * 4 // 1000).tolist() == [0, 1, 2, 3]
    assert first.x_0.shape == later.x_0.shape == (4, BANDS, 8, 8)
    assert last.x_0.shape == (4, BANDS, 12, 12)
    whole = views(settings, 11)
    low_res = pair(whole.pixels[int(whole.draws.step.index[0])], 48)[1]
    t, eps = whole.draws.low_res_t, whole.draws.low_res_eps
    clean = to_unit(low_res[None])
    shown = blurred(clean, s) if (s := float(whole.draws.sigmas[0])) else clean
    expected = q_sample(NoiseSchedule.named(), shown, t[:1], eps[:1])
    assert last.condition is not None
    torch.testing.assert_close(torch.as_tensor(last.condition.low_res)[:1], expected)


def test_a_crop_is_a_part_of_what_its_whole_picture_would_be(large: Path) -> None:
    stage = STAGE | {"blur_share": 1, "clean_share": 1}
    found = views(stage_config(large, stage=stage, batch_size=32), 0)
    made = found.rows(slice(0, 32))
    assert made.condition is not None
    corners = set()
    for i, side in enumerate(found.draws.sides):
        pixels = found.pixels[int(found.draws.step.index[i])]
        high_res, low_res = (to_unit(each[None]) for each in pair(pixels, side))
        z = found.bands.of(high_res - enlarged(low_res))
        small = blurred(low_res, float(found.draws.sigmas[i]))
        y, x = (found.draws.corners[i] * (side // 4 - 7)).long().tolist()
        part = (..., slice(y, y + 8), slice(x, x + 8))
        torch.testing.assert_close(made.x_0[i], z[0][part], rtol=0, atol=2e-5)
        shown = torch.as_tensor(made.condition.low_res)[i]
        torch.testing.assert_close(shown, small[0][part], rtol=0, atol=1e-5)
        corners.add((side, y, x))
    assert {side for side, _, _ in corners} == {40, 44, 52}
    assert len(corners) > 15


def test_small_pictures_are_noised_and_blurred_as_often_as_is_said(large: Path) -> None:
    settings = stage_config(large, batch_size=2000, phases=[{"size": 8, "views": 2000}])
    assert settings.stage is not None
    draws = draw_stage(settings, settings.stage, 0, pictures=6, timesteps=1000)
    clean = draws.low_res_t < 0
    assert float(clean.float().mean()) == pytest.approx(0.4, abs=0.04)
    assert (int(draws.low_res_t[~clean].min()), int(draws.low_res_t.max())) == (1, 90)
    assert float((draws.sigmas > 0).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert 0.55 < float(draws.sigmas.max()) <= 0.6
    never = settings.stage.model_copy(update={"low_res_noise": 0})
    assert bool((draw_stage(settings, never, 0, pictures=6, timesteps=1000).low_res_t < 0).all())


def test_a_process_makes_its_own_rows_of_the_same_batch(large: Path) -> None:
    found = views(stage_config(large), 5)
    whole, part = found.rows(slice(0, 4)), found.rows(slice(2, 4))
    for name in ("x_0", "eps", "t"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[2:])
    assert whole.condition is not None
    assert part.condition is not None
    theirs = whole.condition.rows(slice(2, 4))
    assert torch.equal(torch.as_tensor(part.condition.low_res), torch.as_tensor(theirs.low_res))
    other = views(stage_config(large), 6).rows(slice(0, 4))
    assert not torch.equal(whole.x_0, other.x_0)


def test_the_blur_is_the_gaussian_that_it_says() -> None:
    point = torch.zeros(1, 3, 9, 9)
    point[..., 4, 4] = 1
    spread = blurred(point, 0.6)[0, 0]
    places = torch.arange(9) - 4.0
    assert float(spread.sum()) == pytest.approx(1, rel=1e-5)
    variance = float((spread.sum(0) * places**2).sum())
    assert variance == pytest.approx(0.6**2, rel=0.03)  # of 5 pixels, the rest is cut off


def test_bands_count_by_powers_of_their_deviations() -> None:
    draw = torch.Generator().manual_seed(0)
    output, z, eps = torch.randn((3, 2, BANDS, 4, 4), generator=draw)
    schedule = NoiseSchedule.named("cosine")
    t = torch.tensor([100, 900])
    objective = StageObjective(schedule, "v_prediction", std=BAND_DEVIATIONS, exponent=0.5)
    losses = objective.losses(output, z, q_sample(schedule, z, t, eps), t, eps)
    a = schedule.alpha_bar(t).float()
    error = (output - (a.sqrt() * eps - (1 - a).sqrt() * z)) ** 2
    weight = (BAND_DEVIATIONS / BAND_DEVIATIONS.mean()).view(1, -1, 1, 1)
    torch.testing.assert_close(losses.total, (weight.sqrt() * error).mean((1, 2, 3)))
    torch.testing.assert_close(losses.simple, (weight * error).mean((1, 2, 3)))
    assert losses.by_band is not None
    torch.testing.assert_close(losses.by_band, error.mean((2, 3)))


def test_a_stage_begins_at_bicubic_enlargement_and_learns(tmp_path: Path) -> None:
    weave = np.kron(np.ones((12, 12)), np.eye(4))[..., None] * 60
    clouds = landscapes(12, 48) * 0.7 + weave
    data = save_pictures(tmp_path / "data", clouds.astype(np.uint8))
    settings = stage_config(
        data,
        stage=STAGE | {"side": 48, "held_out_side": 48, "regression_views": 320},
        phases=[{"size": 8, "views": 320, "sides": [48]}],
        held_out_share=0.3,
        learning_rate=0.02,
        batch_size=8,
        save_every=40,
    )
    go_on(settings, tmp_path / "run")
    lines = [line for line in read_metrics(tmp_path / "run") if line["kind"] == "held_out"]
    begun, *_, learned = lines
    assert begun["one_step_db"] == pytest.approx(0, abs=0.01)
    assert isinstance(learned["one_step_db"], float)
    assert learned["one_step_db"] > 1
    bands = torch.tensor(json.loads((tmp_path / "run/model/bands.json").read_text())["std"])
    by_band = torch.tensor(learned["by_band"])
    assert learned["mean"] == pytest.approx(float((by_band * bands / bands.mean()).mean()), 1e-4)


def test_a_resumed_stage_is_bit_for_bit_an_uninterrupted_one(large: Path, tmp_path: Path) -> None:
    settings = stage_config(large, held_out_share=0.3, precision="fast", sample_every=6)
    go_on(settings, tmp_path / "straight")
    for steps in (7, 1, None):  # what is beyond the last save is done again
        go_on(settings, tmp_path / "halting", steps)
    ends = [tmp_path / name / "checkpoints" / "00000012" for name in ("straight", "halting")]
    a, b = (
        {
            f"{f.name}/{n}": v
            for f in end.glob("*.safetensors")
            for n, v in checkpoint.read_tensors(f).items()
        }
        for end in ends
    )
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    lines = [read_metrics(tmp_path / name) for name in ("straight", "halting")]
    for line in (*lines[0], *lines[1]):
        line.pop("pictures_per_second", None)
    assert lines[0] == lines[1]
    sheets = [
        (tmp_path / n / "samples" / "00000012.png").read_bytes() for n in ("straight", "halting")
    ]
    assert sheets[0] == sheets[1]
    with Image.open(tmp_path / "straight" / "samples" / "00000012.png") as sheet:
        assert sheet.size == (3 * 40, 2 * 40)  # enlarged, painted, as it was


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(large: Path, tmp_path: Path) -> None:
    changes = {"phases": [{"size": 8, "views": 8, "sides": [40, 52]}], "accumulate": 2}
    stage = STAGE | {"regression_views": 4}
    stored = tmp_path / "settings.json"
    settings = stage_fields(large, stage=stage, held_out_share=0.3, **changes)
    stored.write_text(json.dumps(settings))
    done = torchrun("-m", "app", "train", "--config", str(stored), "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert "not a second stage's" in done.stderr
    go_on(TrainConfig.checked(settings | {"accumulate": 1}), tmp_path / "one")
    one, two = (read_metrics(tmp_path / name) for name in ("one", "two"))
    for ours, theirs in zip(one, two, strict=True):
        for name in {"step", "loss", "gradient_norm", "mean", "by_band"} & ours.keys():
            assert theirs[name] == pytest.approx(ours[name], rel=1e-4), name


def test_a_stage_that_was_trained_paints(large: Path, tmp_path: Path) -> None:
    go_on(stage_config(large, sample_every=12), tmp_path / "run")
    save_tiny_model(tmp_path / "run" / "tiny")
    store = ModelStore([tmp_path / "run"])
    assert (store.load_stage("model").info.low_res_noise, store.load_stage("model").s_noise) == (
        91,
        0.45,
    )
    wish = {"model": "tiny", "stage": "model", "steps": 2, "size": 64, "stage_steps": 2}
    found = [m for m in Painter(store).films.stream(Recipe.checked(wish)) if isinstance(m, Moment)]
    assert found[-1].x_t.shape == (1, 64, 64, 3)
    export_choice(tmp_path / "run", tmp_path / "chosen" / "raw", weights="raw", half=True)
    chosen = ModelStore([tmp_path / "chosen"]).load_stage("raw")
    assert b'"F16"' in chosen.files.weights_files[0].read_bytes()[:400]
    kept = checkpoint.read_tensors(tmp_path / "run/checkpoints/00000012/weights.safetensors")
    assert chosen.info.parameters == sum(w.numel() for w in kept.values()) < 20_000


def test_a_run_begins_from_a_stage_with_its_bands(large: Path, tmp_path: Path) -> None:
    source = save_tiny_stage(tmp_path / "brush")
    settings = stage_config(large, init="brush", network=None, schedule=None)
    files = StageFiles("brush", source)
    with open_run(settings, tmp_path / "run", load_init=loader(files)) as run:
        assert run.architecture.stage_bands.std.tolist() == pytest.approx([0.1] * BANDS)
        run.after(next(run.steps()))
        run.save()
    shutil.rmtree(source)
    go_on(settings, tmp_path / "run", 1)
    bands = json.loads((tmp_path / "run" / "model" / "bands.json").read_text())
    assert (bands["std"], bands["s_noise"]) == (pytest.approx([0.1] * BANDS), 0.45)


def test_the_recipe_is_the_default_and_the_shells(large: Path) -> None:
    settings = TrainConfig.checked({"data": str(large), "stage": {}})
    assert (settings.flip, settings.ema_names, settings.sample_steps) == (
        False,
        ("ema-0.100",),
        12,
    )
    assert TrainConfig.checked(json.loads(settings.to_json())) == settings
    assert settings.size_at(0) == 32
    assert settings.phase_at(0).large_sides == tuple(range(180, 220, 4))
    assert settings.phase_at(settings.total_steps - 1).large_sides == (208,)
    # The learning rate is constant until pictures are whole, and falls from there.
    assert settings.rate_at(74_999) == settings.learning_rate
    assert settings.rate_at(76_000) < settings.learning_rate


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"phases": [{"size": 12, "views": 8, "sides": [40]}]}, "need sides of 48 px"),
        ({"phases": [{"size": 8, "views": 8, "sides": [42]}]}, "that 4 divides"),
        ({"phases": [{"size": 8, "views": 8, "sides": []}]}, "sides"),
        ({"phases": [{"size": 16, "views": 8}]}, "have to be enlarged to 64"),
        ({"stage": STAGE | {"held_out_side": 56}}, "have to be enlarged to 56"),
        ({"stage": STAGE | {"held_out_side": 42}}, "held_out_side"),
        ({"stage": STAGE | {"clean_share": 2}}, "clean_share"),
        ({"stage": STAGE | {"blur": 1}}, "blur"),
        ({"stage": None}, "belong to a second stage"),
        ({"flip": True}, "without flip"),
        ({"labels": {"source": "folders"}}, "without labels"),
        ({"objective": "hybrid"}, "without objective hybrid"),
        ({"prediction": "epsilon"}, "without prediction epsilon"),
        ({"immiscible": True, "crop_scale": 0.5}, "without immiscible, crop_scale below 1"),
        ({"min_side": 20}, "without min_side below 52"),
        ({"network": {"channels": 1}}, "colours, and no attention"),
        ({"network": {}}, "colours, and no attention"),
    ],
)
def test_settings_that_no_stage_can_be_trained_with_are_refused(
    changes: dict[str, object], reason: str, large: Path
) -> None:
    with pytest.raises(StudioError, match=r"configuration can't be used") as caught:
        stage_config(large, **changes)
    assert reason in caught.value.message


def grey(pictures: np.ndarray) -> np.ndarray:
    return np.repeat(pictures[..., :1], 3, axis=3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (grey, "are grey"),
        (np.zeros_like, "no fine detail"),
        (lambda pictures: pictures[:, :40, :40], "it has 40 x 40 pixels, fewer than 52 a side"),
    ],
)
def test_pictures_that_teach_no_brushwork_are_refused(
    make: Callable[[np.ndarray], np.ndarray], reason: str, tmp_path: Path
) -> None:
    data = save_pictures(tmp_path / "data", make(landscapes(4, 56)))
    with pytest.raises(StudioError, match=reason):
        go_on(stage_config(data), tmp_path / "run")


def loader(files: ModelFiles) -> Callable[[str], InitialModel]:
    return lambda _: load_initial_model(files)


def test_models_and_stages_arent_taken_for_each_other(large: Path, tmp_path: Path) -> None:
    model, stage = save_tiny_model(tmp_path / "model"), save_tiny_stage(tmp_path / "stage")
    odd = save_tiny_stage(tmp_path / "odd")
    scheduler = odd / "scheduler" / "scheduler_config.json"
    fields = json.loads(scheduler.read_text())
    scheduler.write_text(json.dumps(fields | {"prediction_type": "epsilon"}))
    staged = stage_config(large, init="x", network=None, schedule=None, prediction=None)
    plain = staged.model_dump(mode="json") | {"stage": None, "phases": [{"size": 16, "views": 8}]}
    cases: list[tuple[TrainConfig, ModelFiles, str]] = [
        (staged, ModelFiles("model", model), "is no second stage"),
        (staged, StageFiles("model", model), "no second stage's"),
        (TrainConfig.checked(plain), StageFiles("stage", stage), "is a second stage"),
        (TrainConfig.checked(plain), ModelFiles("stage", stage), "no picture's channels"),
        (staged, StageFiles("odd", odd), "predicts epsilon, not v"),
    ]
    for settings, files, reason in cases:
        with (
            pytest.raises(StudioError, match=reason),
            open_run(settings, tmp_path / "r", load_init=loader(files)),
        ):
            pass
    stage_with_odd_sizes = stage_config(large, stage=STAGE | {"held_out_side": 44})
    with pytest.raises(StudioError, match=r"can't take \[11\] px"):
        go_on(stage_with_odd_sizes, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_the_bands_deviations_are_those_of_the_views(large: Path, tmp_path: Path) -> None:
    settings = stage_config(
        large, batch_size=256, phases=[{"size": 8, "views": 1024, "sides": [40, 44, 52]}]
    )
    with open_run(settings, tmp_path / "run", load_init=no_init) as run:
        data = run.decoded.training
        z = torch.cat(
            [data.views(settings, step, 1000).rows(slice(0, 256)).x_0 for step in range(4)]
        )
    deviation = z.square().mean((0, 2, 3)).sqrt()
    assert [math.isclose(d, 1, abs_tol=0.25) for d in deviation.tolist()] == [True] * BANDS
