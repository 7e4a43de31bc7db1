"""Noise: strips, schedules, chains, posteriors and the way back."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.errors import PictureError, RecipeError
from app.laboratory.experiments import (
    Chain,
    Denoising,
    ForwardStrip,
    Grid,
    PosteriorStep,
    read_experiment,
)
from app.laboratory.fields import ScheduleChoice
from app.laboratory.mix import MixLab
from app.laboratory.noise import NoiseLab
from app.models.store import ModelStore
from app.painting.film import Moment, ReplayStep
from app.painting.painter import Painter
from app.painting.sources import PictureSource
from tests.conftest import save_tiny_model, set_timesteps
from tests.laboratory.pictures import network_calls, painted, run, upload, x_0_of


@pytest.fixture
def lab(model_root: Path) -> NoiseLab:
    return NoiseLab(Painter(ModelStore([model_root])))


def test_a_strip_goes_from_the_picture_to_noise(lab: NoiseLab) -> None:
    strip = lab.strip(ForwardStrip(model="tiny", source=upload(), moments=5))
    assert [m.t for m in strip.moments] == [0, 250, 500, 750, 1000]
    assert np.array_equal(strip.moments[0].sample.pixels, lab.picture("tiny", upload()))
    last = strip.moments[-1].sample
    assert last.std == pytest.approx(1, abs=0.1)
    assert last.correlation == pytest.approx(0, abs=0.1)
    assert read_experiment(strip.png()) == strip.experiment
    assert Image.open(io.BytesIO(strip.animation("gif"))).format == "GIF"


@pytest.mark.parametrize("fresh", [False, True])
def test_noise_is_fixed_or_fresh_as_asked(lab: NoiseLab, fresh: bool) -> None:
    strip = lab.strip(ForwardStrip(model="tiny", source=upload(), moments=20, fresh=fresh))
    last, before = (m.sample.pixels.astype(int).ravel() for m in strip.moments[:-3:-1])
    assert (np.corrcoef(last, before)[0, 1] > 0.9) is not fresh


def test_the_material_is_enough_to_draw_the_strip(lab: NoiseLab) -> None:
    noising = ForwardStrip(model="tiny", source=upload(), seed=4, moments=3)
    material, strip = lab.material(noising), lab.strip(noising)
    assert len(material.alpha_bar) == 1001
    a = material.alpha_bar[500]
    x_t = math.sqrt(a) * (material.pixels / 127.5 - 1) + math.sqrt(1 - a) * material.eps
    drawn = np.clip(np.round((x_t / 2 + 0.5) * 255), 0, 255)
    assert np.abs(drawn - strip.moments[1].sample.pixels).max() <= 1


def test_a_schedule_of_ones_own_changes_the_strip_and_its_prior(lab: NoiseLab) -> None:
    half = ScheduleChoice(beta_end=0.01)
    curves = lab.schedules("tiny", upload(), half)
    assert [c.label for c in curves][-1] == "linear 0.0001 to 0.01"
    assert len(curves) == 5
    strip = lab.strip(ForwardStrip(model="tiny", source=upload(), schedule=half))
    assert strip.prior_bpd == curves[-1].prior_bpd > curves[0].prior_bpd
    for c in curves:
        assert len(c.t) == len(c.beta) == len(c.log_snr) == 500
        assert (c.t[0], c.t[-1]) == (1, 1000)
        assert c.log_snr[7] == pytest.approx(math.log(c.alpha_bar[7] / (1 - c.alpha_bar[7])))


@pytest.mark.parametrize("t", [1, 250, 1000])
def test_single_steps_and_one_leap_have_the_same_statistics(lab: NoiseLab, t: int) -> None:
    found = lab.chain(Chain(model="tiny", source=upload(side=16), t=t))
    assert not np.array_equal(found.chain.pixels, found.closed.pixels)
    for sample in (found.chain, found.closed):
        assert sample.std == pytest.approx(found.expected_std, rel=0.08)
    assert found.chain.correlation == pytest.approx(found.closed.correlation, abs=0.12)
    assert read_experiment(found.png()) == found.experiment


def test_values_close_on_the_normal_density(lab: NoiseLab) -> None:
    material = lab.material(ForwardStrip(model="tiny", source=upload()))

    def distance(t: int) -> float:
        a = material.alpha_bar[t]
        x_t = math.sqrt(a) * x_0_of(material.pixels).numpy().ravel()
        x_t += math.sqrt(1 - a) * material.eps.transpose(2, 0, 1).ravel()
        density, edges = np.histogram(x_t, bins=64, range=(-4, 4), density=True)
        normal = np.exp(-(((edges[:-1] + edges[1:]) / 2) ** 2) / 2) / math.sqrt(2 * math.pi)
        return float(np.abs(density - normal).mean())

    assert distance(1000) < 0.5 * distance(1)


def test_the_posterior_has_the_papers_coefficients(lab: NoiseLab) -> None:
    view = lab.inspect(PosteriorStep(model="tiny", source=upload(), t=300))
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    bar = (1 - betas).cumprod(0)
    before, now, beta = float(bar[298]), float(bar[299]), float(betas[299])
    assert view.beta == pytest.approx(beta)
    assert view.beta_tilde == pytest.approx((1 - before) / (1 - now) * beta)
    assert view.coefficient_x_0 == pytest.approx(math.sqrt(before) * beta / (1 - now))
    assert view.coefficient_x_t == pytest.approx(math.sqrt(1 - beta) * (1 - before) / (1 - now))
    assert view.difference_scale >= view.difference_rms > 0
    assert read_experiment(view.png()) == view.experiment


def test_the_first_steps_posterior_is_the_picture_itself(lab: NoiseLab) -> None:
    view = lab.inspect(PosteriorStep(model="tiny", source=upload(), t=1))
    assert (view.coefficient_x_0, view.coefficient_x_t, view.beta_tilde) == (1, 0, 0)
    assert np.array_equal(view.mu_tilde, lab.picture("tiny", upload()))


@pytest.mark.parametrize("t", [1, 125, 1000])
def test_a_picture_noised_to_t_is_decoded_from_exactly_t(lab: NoiseLab, t: int) -> None:
    denoising = Denoising(run=run(), source=upload(), t=t, seed=6)
    with network_calls() as calls:
        moments = [m for m in lab.films.stream(denoising) if isinstance(m, Moment)]
    steps = [int(each[0]) for each in calls.t]
    assert steps[0] == t - 1
    assert len(steps) == lab.network_steps(denoising) == math.ceil(8 * t / 1000)
    assert [m.t for m in moments] == [s + 1 for s in steps] + [0]
    material = lab.material(ForwardStrip(model="tiny", source=upload(), seed=6))
    a = material.alpha_bar[t]
    expected = math.sqrt(a) * x_0_of(material.pixels) + math.sqrt(1 - a) * torch.from_numpy(
        material.eps
    ).permute(2, 0, 1)
    assert torch.allclose(calls.x_t[0], expected, atol=1e-5)


def test_variations_start_alike_and_end_differently(lab: NoiseLab) -> None:
    denoising = Denoising(run=run(pictures=2), source=upload(), t=500)
    moments = [m for m in lab.films.stream(denoising) if isinstance(m, Moment)]
    assert np.array_equal(moments[0].x_t[0], moments[0].x_t[1])
    assert not np.array_equal(moments[-1].x_t[0], moments[-1].x_t[1])


def test_a_denoised_picture_repeats_from_its_png_alone(lab: NoiseLab, model_root: Path) -> None:
    source = painted(3, pictures=2)
    wish = lab.complete(Denoising(run=run(pictures=2), source=source, t=500))
    stream = list(lab.films.stream(wish))
    assert sum(isinstance(item, ReplayStep) for item in stream) == 3
    results = lab.films.pictures(wish)
    again = read_experiment(results[1].png())
    assert isinstance(again, Denoising)
    assert again.run.weights
    fresh = NoiseLab(Painter(ModelStore([model_root]))).films.pictures(again)[1]
    assert np.array_equal(fresh.pixels, results[1].pixels)
    assert read_experiment(fresh.strip()) == again
    assert {r.name for r in results} == {"tiny-denoising-500-seed-0", "tiny-denoising-500-seed-1"}


def test_closing_ends_the_networks_work(lab: NoiseLab) -> None:
    with network_calls() as calls:
        stream = lab.films.stream(Denoising(run=run(steps=100), source=upload(), t=1000))
        next(stream), next(stream)
        stream.close()
    assert len(calls.t) == 2


def test_sources_that_are_no_pictures_are_refused(lab: NoiseLab) -> None:
    for pixels in ("***", "AAAA"):
        with pytest.raises(PictureError):
            lab.strip(ForwardStrip(model="tiny", source=PictureSource(pixels=pixels)))


def test_a_run_that_the_model_cannot_do_is_refused(lab: NoiseLab) -> None:
    with pytest.raises(RecipeError, match="no classes"):
        next(lab.films.stream(Denoising(run=run(label=1), source=upload())))
    with pytest.raises(RecipeError, match="no classes"):
        lab.inspect(PosteriorStep(model="tiny", source=upload(), label=1))


def test_t_beyond_the_models_last_is_refused(short_root: Path) -> None:
    short = NoiseLab(Painter(ModelStore([short_root])))
    wish = {"model": "short", "source": upload(), "t": 101}
    with pytest.raises(RecipeError, match="beyond short's T = 100"):
        short.chain(Chain.checked(wish))
    with pytest.raises(RecipeError, match="beyond short's T = 100"):
        short.inspect(PosteriorStep.checked(wish))
    with pytest.raises(RecipeError, match="beyond short's T = 100"):
        short.complete(Denoising(run=run(model="short"), source=upload(), t=101))


@pytest.mark.parametrize(("length", "t"), [(20, 20), (1500, 1400)])
def test_a_models_own_t_is_never_refused(tmp_path: Path, length: int, t: int) -> None:
    set_timesteps(save_tiny_model(tmp_path / "own"), length)
    painter = Painter(ModelStore([tmp_path]))
    lab, wish = NoiseLab(painter), {"model": "own", "source": upload(), "t": t}
    assert lab.chain(Chain.checked(wish)).experiment.t == t
    assert lab.inspect(PosteriorStep.checked(wish)).beta > 0
    way = run(model="own", steps=10)
    assert lab.complete(Denoising(run=way, source=upload(), t=t)).request.t == t
    pair = {"run": way, "first": upload(), "second": upload()}
    grid = MixLab(painter).complete(Grid.checked(pair | {"rows": (0, t)}))
    assert grid.request.rows == (0, t)


def test_another_size_is_fitted_to_the_model(lab: NoiseLab) -> None:
    assert lab.picture("tiny", upload(side=50)).shape == (16, 16, 3)
