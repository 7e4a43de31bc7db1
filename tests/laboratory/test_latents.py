"""The laboratories with a latent model: what is noised and mixed are latents."""

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.diffusion.bound import vlb_weights
from app.diffusion.mixing import MIXING_RULES, MixingRule
from app.diffusion.seeds import SeededNoise, derived_seed
from app.errors import RecipeError
from app.images.arrays import Pixels
from app.images.pixels import picture_pixels
from app.laboratory.bound import BoundLab
from app.laboratory.experiments import (
    BoundRequest,
    Chain,
    Denoising,
    ForwardStrip,
    Grid,
    Mixing,
    Morph,
    PosteriorStep,
    SeedMorph,
    Subject,
)
from app.laboratory.mix import MixLab
from app.laboratory.noise import NoiseLab
from app.laboratory.sheet import SheetLab
from app.laboratory.sheet_experiment import Sheet, SheetAxis
from app.models.loading import LoadedModel
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.painting.sources import PictureSource
from tests.laboratory.pictures import network_calls, upload, x_0_of

MODEL = "AutoencoderKL"
SIDE = 32
SOURCE = upload(1, SIDE)


@pytest.fixture(scope="module")
def painter(latent_root: Path) -> Painter:
    return Painter(ModelStore([latent_root], "cpu", 1))


@pytest.fixture
def model(painter: Painter) -> LoadedModel:
    return painter.models.load(MODEL)


def run(**changes: object) -> Recipe:
    return Recipe.checked({"model": MODEL, "sampler": "ddim", "steps": 6} | changes)


def test_a_strip_noises_the_latent_and_shows_what_the_decoder_makes(
    painter: Painter, model: LoadedModel
) -> None:
    lab = NoiseLab(painter)
    strip = lab.strip(ForwardStrip(model=MODEL, source=SOURCE, moments=3, seed=4))
    z = model.encode(x_0_of(lab.picture(MODEL, SOURCE)))
    eps = SeededNoise([derived_seed(4, 0)]).draw((4, 8, 8))
    a = math.prod(1 - beta for beta in np.linspace(1e-4, 0.02, 1000)[:500])
    x_t = math.sqrt(a) * z + math.sqrt(1 - a) * eps
    first, half, last = (moment.sample for moment in strip.moments)
    assert np.array_equal(first.pixels, picture_pixels(model.decode(z))[0])
    assert half.std == pytest.approx(float(x_t.double().std(correction=0)), rel=1e-4)
    assert np.abs(half.pixels - picture_pixels(model.decode(x_t))[0].astype(int)).max() <= 1
    assert last.std == pytest.approx(1, abs=0.15)
    assert strip.prior_bpd >= 0
    assert lab.schedules(MODEL, SOURCE)[0].prior_bpd >= 0


def test_the_page_is_given_the_picture_and_the_colours_of_its_noise(
    painter: Painter, model: LoadedModel
) -> None:
    material = NoiseLab(painter).material(ForwardStrip(model=MODEL, source=SOURCE, seed=4))
    assert material.pixels.shape == material.eps.shape == (SIDE, SIDE, 3)
    eps = SeededNoise([derived_seed(4, 0)]).draw((4, 8, 8))
    assert torch.equal(torch.tensor(material.eps).permute(2, 0, 1), model.seen_noise(eps)[0])
    assert material.square == 4
    assert model.latents
    assert material.deviation == pytest.approx(
        float(model.seen_noise(torch.randn(64, 4, 8, 8)).std()), rel=0.1
    )


def test_single_steps_end_where_the_closed_form_does(painter: Painter) -> None:
    found = NoiseLab(painter).chain(Chain(model=MODEL, source=SOURCE, t=300))
    assert found.chain.pixels.shape == (SIDE, SIDE, 3)
    assert found.chain.std == pytest.approx(found.expected_std, rel=0.2)
    assert found.closed.std == pytest.approx(found.expected_std, rel=0.2)


def test_a_posterior_is_of_latents_that_nothing_clips(painter: Painter) -> None:
    lab = NoiseLab(painter)
    views = [
        lab.inspect(PosteriorStep(model=MODEL, source=SOURCE, t=900, clip=clip))
        for clip in (True, False)
    ]
    assert views[0].difference_rms == views[1].difference_rms > 0
    assert np.array_equal(views[0].x_0_hat, views[1].x_0_hat)
    assert views[0].difference.shape == (SIDE, SIDE, 3)


def test_a_latent_is_denoised_from_exactly_t(painter: Painter, model: LoadedModel) -> None:
    lab = NoiseLab(painter)
    denoising = Denoising(run=run(), source=SOURCE, t=500, seed=4)
    with network_calls() as calls:
        (result,) = lab.films.pictures(denoising)
    assert calls.x_t[0].shape == (1, 4, 8, 8)
    assert [int(t) for t in calls.t] == [499, 332, 166]
    assert result.pixels.shape == (SIDE, SIDE, 3)
    (large,) = lab.films.pictures(lab.enlargement(denoising, {"stage_steps": 2}))
    assert large.pixels.shape == (4 * SIDE, 4 * SIDE, 3)


@pytest.mark.parametrize("rule", MIXING_RULES)
def test_the_rules_mix_latents(painter: Painter, model: LoadedModel, rule: MixingRule) -> None:
    lab, second = MixLab(painter), upload(2, SIDE)
    mixing = Mixing(run=run(), first=SOURCE, second=second, t=500, mix=0.5, seed=4, rule=rule)
    with network_calls() as calls:
        (result,) = lab.films.pictures(mixing)
    assert result.pixels.shape == (SIDE, SIDE, 3)
    if rule == "linear":
        z, y = (model.encode(x_0_of(lab.picture(MODEL, it))) for it in (SOURCE, second))
        eps, other = (SeededNoise([derived_seed(4, i)]).draw((4, 8, 8)) for i in range(2))
        a = math.prod(1 - beta for beta in np.linspace(1e-4, 0.02, 1000)[:500])
        x_t = (math.sqrt(a) * (z + y) + math.sqrt(1 - a) * (eps + other)) / 2
        assert torch.allclose(calls.x_t[0], x_t, atol=1e-5)
    assert {it.rule for it in lab.variances(lab.complete(mixing))} == {*MIXING_RULES}


def test_grids_and_morphs_are_of_decoded_pictures(painter: Painter, model: LoadedModel) -> None:
    lab, second = MixLab(painter), upload(2, SIDE)
    pair = {"run": run(), "first": SOURCE, "second": second}
    grid = lab.grids.result(Grid.checked(pair | {"rows": (0, 500, 1000), "between": 1}))
    z = model.encode(x_0_of(lab.picture(MODEL, SOURCE)))
    assert np.array_equal(grid.first, picture_pixels(model.decode(z))[0])
    assert all(row is not None and row.shape == (3, SIDE, SIDE, 3) for row in grid.rows)
    assert grid.rows[0] is not None
    assert np.abs(grid.rows[0][0].astype(int) - grid.first).max() <= 1
    assert grid.mixed_pixels is not None
    between = (grid.first.astype(int) + grid.second) / 2
    assert np.abs(grid.mixed_pixels[1] - between).max() <= 0.5
    assert [grid.mixed_pixels[at].tobytes() for at in (0, 2)] == [
        grid.first.tobytes(),
        grid.second.tobytes(),
    ]
    assert (grid.rows[0][1] != grid.mixed_pixels[1]).any(), "a row of mixed latents"
    with Image.open(io.BytesIO(grid.png())) as sheet:
        tall = sheet.height
    with Image.open(io.BytesIO(replace(grid, mixed_pixels=None).png())) as sheet:
        assert tall > sheet.height
    morph = lab.morphs.result(Morph.checked(pair | {"t": 500, "frames": 5}))
    seeds = lab.morphs.result(SeedMorph(run=run(), second=9, frames=5))
    assert morph.frames.shape == seeds.frames.shape == (5, SIDE, SIDE, 3)
    own = painter.films.result(run())[-1].x_t[0]
    assert np.abs(seeds.frames[0].astype(int) - own).max() <= 1


def test_a_painting_of_a_latent_model_is_a_source_as_any_other(painter: Painter) -> None:
    source = PictureSource(painted=run(seed=3))
    lab = NoiseLab(painter)
    assert np.array_equal(lab.picture(MODEL, source), painter.films.result(run(seed=3))[-1].x_t[0])


def test_a_sheet_is_painted(painter: Painter) -> None:
    wish: dict[str, object] = {
        "run": run(),
        "rows": SheetAxis.of("steps", [2, 3]),
        "columns": SheetAxis.of("model", [MODEL, "VQModel"]),
    }
    sheets = SheetLab(painter).sheets
    result = sheets.result(Sheet.checked(wish))
    cells = [it for it in result.pictures if it is not None]
    assert [it.shape for it in cells] == [(SIDE, SIDE, 3)] * 4
    assert np.array_equal(cells[0], painter.films.result(run(steps=2))[-1].x_t[0])


def test_a_latents_bound_is_in_nats_and_has_no_decoder(
    painter: Painter, model: LoadedModel
) -> None:
    lab = BoundLab(painter)
    subjects = (
        Subject(name="a", source=SOURCE),
        Subject(name="b", kind="shuffled", source=SOURCE),
        Subject(name="c", kind="noise"),
    )
    result = lab.bounds.result(BoundRequest(model=MODEL, subjects=subjects, terms=4, draws=2))
    (moments,) = result.moments
    assert result.unit == "nats/dim"
    assert [moment.kind for moment in moments] == ["prior", *["step"] * 4]
    assert moments[-1].index == moments[-1].total == lab.network_steps(result.experiment) == 4
    z = model.encode(x_0_of(lab_picture(painter)))
    line, x_T = moments[0].subjects[0], 0.5 * z.double() ** 2
    a = math.prod(1 - beta for beta in np.linspace(1e-4, 0.02, 1000))
    prior = (a * x_T + 0.5 * (-a - math.log(1 - a))).mean()
    assert line.prior == pytest.approx(float(prior), rel=1e-3)
    last = moments[-1].subjects[0]
    assert (last.decoder, last.distortion) == (None, None)
    assert last.total == last.prior + last.vb
    assert len({line.total for line in moments[-1].subjects}) == 3
    assert len(result.plots()) == 5
    assert "stopped" not in result._title()
    weights = lab.weights(MODEL).vlb, vlb_weights(model.schedule).tolist()
    assert weights[0][-1] == pytest.approx(math.log(2) * weights[1][-1])


def lab_picture(painter: Painter) -> Pixels:
    return NoiseLab(painter).picture(MODEL, SOURCE)


def test_nats_of_latents_and_bits_of_pictures_are_not_compared(
    latent_root: Path, model_root: Path
) -> None:
    lab = BoundLab(Painter(ModelStore([latent_root, model_root], "cpu", 1)))
    subject = Subject(name="a", source=SOURCE)
    each = [BoundRequest(model=it, subjects=(subject,), terms=4) for it in (MODEL, "tiny")]
    with pytest.raises(RecipeError, match="can't be compared with the bits of pictures"):
        lab.complete(BoundRequest.joined(each))


def test_a_picture_is_looked_at_by_its_latent(model: LoadedModel) -> None:
    x_0, t = torch.rand(2, 3, SIDE, SIDE) * 2 - 1, torch.full((2,), 300)
    assert len(model.features(x_0, t)) == 2
