"""Mix: the off-by-one, the grid and its cells, morphs, and what each rule does."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.diffusion.mixing import MIXING_RULES, MixingRule
from app.diffusion.seeds import SeededNoise, derived_seed
from app.errors import RecipeError
from app.laboratory.experiments import Grid, Mixing, Morph, SeedMorph, read_experiment
from app.laboratory.mix import GridResult, MixLab, MixMoment, MorphResult
from app.models.store import ModelStore
from app.painting.film import Moment, ReplayStep
from app.painting.painter import Painter
from tests.laboratory.pictures import network_calls, painted, run, upload, x_0_of

PAIR = {"run": run(), "first": upload(1), "second": upload(2)}
ROWS = (0, 250, 1000)


@pytest.fixture
def lab(model_root: Path) -> MixLab:
    return MixLab(Painter(ModelStore([model_root])))


def grid(**changes: object) -> Grid:
    return Grid.checked(PAIR | {"rows": ROWS, "between": 2} | changes)


@pytest.mark.parametrize("t", [1, 125, 500, 1000])
def test_a_mixture_noised_to_t_is_decoded_from_exactly_t(lab: MixLab, t: int) -> None:
    mixing = Mixing.checked(PAIR | {"t": t, "mix": 0.25, "seed": 4, "rule": "linear"})
    with network_calls() as calls:
        moments = [m for m in lab.films.stream(mixing) if isinstance(m, Moment)]
    steps = [int(each[0]) for each in calls.t]
    assert steps[0] == t - 1  # the paper's t is the code's t - 1
    assert steps == sorted(set(steps), reverse=True)
    assert [m.t for m in moments] == [step + 1 for step in steps] + [0]
    bar = math.prod(1 - beta for beta in np.linspace(1e-4, 0.02, 1000)[:t])
    x_t = []
    for which, source in enumerate((mixing.first, mixing.second)):
        x_0 = x_0_of(lab.picture("tiny", source))
        eps = SeededNoise([derived_seed(4, which)]).draw((3, 16, 16))
        x_t.append(math.sqrt(bar) * x_0 + math.sqrt(1 - bar) * eps)
    assert torch.allclose(calls.x_t[0], 0.75 * x_t[0] + 0.25 * x_t[1], atol=1e-5)


def test_few_noise_gives_the_sources_back(lab: MixLab) -> None:
    """From t = 1 the way back is a single small step."""
    for mix, source in ((0.0, upload(1)), (1.0, upload(2))):
        (result,) = lab.films.pictures(Mixing.checked(PAIR | {"t": 1, "mix": mix}))
        gap = np.abs(result.pixels.astype(int) - lab.picture("tiny", source))
        assert gap.max() <= 12


@pytest.mark.parametrize("rule", MIXING_RULES)
def test_a_grid_is_made_of_its_mixtures(lab: MixLab, rule: MixingRule) -> None:
    """The cell at (t, lambda) is what a single mixture there gives."""
    wish = grid(rule=rule, seed=3)
    rows = lab.grids.result(wish).rows
    for row, t in ((1, 250), (2, 1000)):
        for column, mix in enumerate(wish.mixes):
            fields = PAIR | {"rule": rule, "seed": 3, "t": t, "mix": mix}
            (alone,) = lab.films.pictures(Mixing.checked(fields))
            cell = rows[row]
            assert cell is not None
            assert np.abs(cell[column].astype(int) - alone.pixels).max() <= 1


def test_a_mixture_at_t_0_is_one_of_pixels_without_the_network(lab: MixLab) -> None:
    mixing = Mixing.checked(PAIR | {"t": 0, "mix": 0.25, "run": run(pictures=2)})
    with network_calls() as calls:
        first, second = lab.films.pictures(mixing)
    assert not calls.t
    a, b = (lab.picture("tiny", source).astype(float) for source in (mixing.first, mixing.second))
    assert np.abs(first.pixels - (0.75 * a + 0.25 * b)).max() <= 1
    assert np.array_equal(first.pixels, second.pixels)
    assert [moment.t for moment in first.film] == [0]
    with Image.open(io.BytesIO(first.animation("gif"))) as gif:
        assert gif.format == "GIF"


def test_row_zero_mixes_pixels_without_the_network(lab: MixLab) -> None:
    with network_calls() as calls:
        result = lab.grids.result(grid(rows=(0,)))
    assert not calls.t
    assert result.rows[0] is not None
    middle = (2 * result.first.astype(float) + result.second) / 3
    assert np.abs(result.rows[0][1] - middle).max() <= 1
    assert np.array_equal(result.rows[0][0], result.first)
    assert np.array_equal(result.rows[0][-1], result.second)


def test_the_cells_of_a_row_go_through_the_network_in_one_batch(lab: MixLab) -> None:
    wish = grid()
    with network_calls() as calls:
        stream = list(lab.grids.stream(wish))
    assert len(calls.t) == lab.network_steps(wish) == 2 + 8
    assert all(len(t) == 4 and len(set(t.tolist())) == 1 for t in calls.t)
    moments = [item for item in stream if isinstance(item, MixMoment)]
    assert [m.place for m in moments if m.finished] == [0, 1, 2]
    assert moments[-1].step == wish.num_steps(1000) == 10
    grids = [item for item in stream if isinstance(item, GridResult)]
    assert [sum(row is not None for row in g.rows) for g in grids] == [0, 1, 2, 3]
    assert all(Image.open(io.BytesIO(g.png())).format == "PNG" for g in grids)


def test_shared_noise_falls_on_the_same_timesteps_in_every_row(lab: MixLab) -> None:
    """A row that starts later draws what the first row drew there, so equal x_t stay equal."""
    drawn: list[dict[int, torch.Tensor]] = []
    for t in (500, 1000):
        fields = PAIR | {"t": t, "first": upload(1), "second": upload(1), "rule": "shared"}
        with network_calls() as calls:
            lab.films.pictures(Mixing.checked(fields))
        drawn.append({int(a[0]): b for a, b in zip(calls.t, calls.x_t, strict=True)})
    late, early = drawn
    assert set(late) < set(early)
    gaps = [float((late[t] - early[t]).norm()) for t in sorted(late, reverse=True)]
    assert gaps[-1] < gaps[0]


@pytest.mark.parametrize("share", [True, False])
def test_cells_share_the_noise_of_the_way_back_or_not(lab: MixLab, share: bool) -> None:
    same = {"first": upload(1), "second": upload(1), "rule": "shared"}
    rows = lab.grids.result(grid(share_noise=share, **same)).rows
    assert rows[2] is not None
    assert np.array_equal(rows[2][0], rows[2][1]) is share


def test_a_grid_repeats_from_its_png_alone(lab: MixLab, model_root: Path) -> None:
    wish = lab.complete(grid(first=painted(3), rule="slerp"))
    with network_calls() as calls:
        stream = list(lab.grids.stream(wish))
    assert sum(isinstance(item, ReplayStep) for item in stream) == 3
    assert len(calls.t) == 3 + 2 + 8
    png = lab.grids.result(wish).png()
    again = read_experiment(png)
    assert isinstance(again, Grid)
    assert again == wish.request
    assert MixLab(Painter(ModelStore([model_root]))).grids.result(again).png() == png


def test_closing_ends_the_networks_work(lab: MixLab) -> None:
    with network_calls() as calls:
        stream = lab.grids.stream(grid(rows=(1000,)))
        for item in stream:
            if isinstance(item, MixMoment) and item.step == 2:
                break
        stream.close()
    assert len(calls.t) == 2


def test_the_time_it_will_take_is_said_in_steps_and_seconds(lab: MixLab) -> None:
    wish = grid(first=painted(8))
    estimate = lab.estimate(lab.complete(wish))
    with network_calls() as calls:
        lab.grids.result(wish)
    assert estimate.network_steps == len(calls.t) == 3 + 2 + 8
    assert 0 < 10 * estimate.seconds_per_step <= estimate.seconds


def test_every_rules_variance_is_shown_over_lambda(lab: MixLab) -> None:
    mixing = lab.complete(Mixing.checked(PAIR | {"t": 800}))
    found = {v.rule: v for v in lab.variances(mixing)}
    assert set(found) == set(MIXING_RULES)
    assert found["linear"].noise_variance[10] == pytest.approx(0.5)
    assert found["linear"].x_t_variance[10] == pytest.approx(0.5, abs=0.1)
    for rule in ("shared", "variance_kept", "slerp"):
        assert found[rule].noise_variance[10] == pytest.approx(1, abs=0.05)
    for v in found.values():
        assert (v.mixes[0], v.mixes[-1]) == (0, 1)
        assert v.noise_variance[0] == v.noise_variance[-1] == pytest.approx(1)


def test_a_morph_runs_from_one_reconstruction_to_the_other(lab: MixLab) -> None:
    morph = lab.complete(Morph.checked(PAIR | {"t": 250, "frames": 9}))
    with network_calls() as calls:
        stream = list(lab.morphs.stream(morph))
    assert [len(t) for t in calls.t] == [8, 8, 1, 1]
    assert isinstance(stream[-1], MorphResult)
    assert [m.place for m in stream if isinstance(m, MixMoment) and m.finished] == [0, 8]
    frames = stream[-1].frames
    row = lab.grids.result(grid(rows=(250,))).rows[0]
    assert row is not None
    for frame, cell in ((frames[0], row[0]), (frames[-1], row[-1])):
        assert np.abs(frame.astype(int) - cell).max() <= 1
    result = lab.morphs.result(morph)
    assert read_experiment(result.strip()) == morph.request
    assert Image.open(io.BytesIO(result.animation("gif"))).format == "GIF"


def test_a_morph_grows_by_the_frames_that_are_finished(lab: MixLab) -> None:
    stream = list(lab.morphs.stream(Morph.checked(PAIR | {"t": 250, "frames": 20})))
    grown = [len(item.frames) for item in stream if isinstance(item, MorphResult)]
    assert grown == [8, 16, 20, 20]
    # It is there before the moment that shows it, so that whoever stops then has it.
    first = next(i for i, item in enumerate(stream) if isinstance(item, MorphResult))
    assert isinstance(after := stream[first + 1], MixMoment)
    assert after.finished


def test_a_seed_morph_runs_from_one_painting_to_the_other(lab: MixLab, model_root: Path) -> None:
    ddim = run(sampler="ddim", seed=3)
    result = lab.morphs.result(SeedMorph(run=ddim, second=4, frames=3))
    painter = Painter(ModelStore([model_root]))
    for frame, seed in ((result.frames[0], 3), (result.frames[-1], 4)):
        painting = painter.films.result(ddim.model_copy(update={"seed": seed}))[-1].x_t[0]
        assert np.abs(frame.astype(int) - painting).max() <= 1
    assert not np.array_equal(result.frames[1], result.frames[0])


def test_a_run_that_the_model_cannot_do_is_refused(lab: MixLab) -> None:
    with pytest.raises(RecipeError, match="no sampler"):
        next(iter(lab.grids.stream(grid(run=run(sampler="magic")))))
    with pytest.raises(RecipeError, match="no classes"):
        lab.complete(grid(run=run(label=0)))


def test_classes_reach_every_cell(lab: MixLab) -> None:
    wishes = [grid(run=run(model="classes", label=label), rows=(1000,)) for label in (0, 2)]
    first, second = (lab.grids.result(wish).rows[0] for wish in wishes)
    assert first is not None
    assert second is not None
    assert not np.array_equal(first, second)
