"""The reverse process: diffusers as the oracle, the analytic Gaussian, and the stream's manners."""

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import (
    EulerAncestralDiscreteScheduler,
)
from torch import Tensor

from app.diffusion.analytic import AnalyticVariance
from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, Prediction, estimate
from app.diffusion.reverse import SPACINGS, Frame, Spacing, reverse_process, spaced_timesteps
from app.diffusion.samplers.base import Sampler
from app.diffusion.samplers.ddim import DDIM
from app.diffusion.samplers.ddpm import DDPM
from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.diffusion.samplers.solvers import EulerAncestral
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise, VariedNoise, derived_seed
from app.diffusion.variance import Variance
from tests.diffusion.oracles import GaussianDenoiser, WavyDenoiser

SCHEDULE = NoiseSchedule.named()
ANALYTIC = AnalyticVariance(1 - SCHEDULE.alphas_cumprod)  # of data with unit variance
SHAPE = (3, 8, 8)
KINDS = SAMPLER_KINDS


def frames(
    sampler: Sampler,
    timesteps: Tensor,
    seeds: tuple[int, ...] = (1, 2),
    denoiser: Denoiser | None = None,
    *,
    clip: bool = True,
) -> Iterator[Frame]:
    noise = SeededNoise(seeds)
    return reverse_process(
        denoiser or WavyDenoiser(),
        SCHEDULE,
        noise.draw(SHAPE),
        timesteps,
        sampler=sampler,
        noise=noise,
        clip=clip,
    )


def named(name: str, timesteps: Tensor, eta: float = 1.0) -> Sampler:
    return KINDS[name].make(SCHEDULE, timesteps, eta, ANALYTIC)


def network_for(name: str) -> WavyDenoiser:
    return WavyDenoiser(learned_variance=KINDS[name].variance == "learned")


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("num_steps", [1000, 37])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned"])
def test_ddpm_matches_diffusers_at_every_step(
    variance: Variance, num_steps: int, clip: bool
) -> None:
    theirs = DDPMScheduler(
        variance_type="learned_range" if variance == "learned" else variance, clip_sample=clip
    )
    timesteps = spaced_timesteps(num_steps, 1000, "leading")
    theirs.set_timesteps(timesteps=timesteps.tolist())
    network = WavyDenoiser(learned_variance=variance == "learned")
    noise = SeededNoise((1, 2))
    x = noise.draw(SHAPE)
    for frame in frames(
        DDPM(SCHEDULE, timesteps, variance), timesteps, denoiser=network, clip=clip
    ):
        assert (frame.x_t - x).abs().max() < 1e-4 * max(1.0, x.abs().max().item())
        if frame.eps_hat is None:
            break
        answer = network.predict(frame.x_t, torch.full((2,), frame.t), None)
        parts = [answer.output] if answer.variance is None else [answer.output, answer.variance]
        x = theirs.step(
            torch.cat(parts, dim=1), frame.t, frame.x_t, generator=noise.generators
        ).prev_sample


@cache
def diffusers_ddim(gap: int, clip: bool) -> DDIMScheduler:
    """diffusers' DDIM for a step of `gap`: it goes to t - num_train_timesteps // n, here n = 1."""
    scheduler: DDIMScheduler = DDIMScheduler(
        num_train_timesteps=gap, trained_betas=SCHEDULE.betas.tolist(), clip_sample=clip
    )
    scheduler.set_timesteps(1)
    return scheduler


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("num_steps", [1000, 37])
def test_ddim_matches_diffusers_at_every_step(num_steps: int, eta: float, clip: bool) -> None:
    timesteps = spaced_timesteps(num_steps, 1000, "leading")
    network, noise = WavyDenoiser(), SeededNoise((1, 2))
    path = [*timesteps.tolist(), -1]
    x = noise.draw(SHAPE)
    for frame in frames(DDIM(SCHEDULE, timesteps, eta), timesteps, clip=clip):
        assert (frame.x_t - x).abs().max() < 1e-4 * max(1.0, x.abs().max().item())
        if frame.eps_hat is None:
            break
        draws = eta > 0 and frame.t > 0
        x = diffusers_ddim(frame.t - path[frame.index + 1], clip).step(
            network.predict(frame.x_t, torch.full((2,), frame.t), None).output,
            frame.t,
            frame.x_t,
            eta=eta,
            use_clipped_model_output=clip,
            variance_noise=noise.draw(SHAPE) if draws else torch.zeros(2, *SHAPE),
        )[0]


@pytest.mark.parametrize(("t", "s"), [(999, 998), (640, 120), (3, 0), (0, -1)])
def test_ddim_with_eta_one_has_ddpms_mean_and_variance(t: int, s: int) -> None:
    timesteps = torch.tensor([t] if s < 0 else [t, s])
    x_t = torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a_t = SCHEDULE.alpha_bar(timesteps[:1])
    guess = estimate(Prediction(torch.sin(x_t)), x_t, a_t, clip=True)
    ddim = DDIM(SCHEDULE, timesteps, eta=1.0).step(guess, x_t, 0, SeededNoise((1, 2)))
    ddpm = DDPM(SCHEDULE, timesteps).step(guess, x_t, 0, SeededNoise((1, 2)))
    assert torch.allclose(ddim, ddpm, atol=1e-9)


def test_euler_ancestral_takes_diffusers_steps_to_the_bit() -> None:
    timesteps = spaced_timesteps(6, 1000)
    oracle = EulerAncestralDiscreteScheduler(prediction_type="epsilon")
    oracle.set_timesteps(6)
    alpha_bar = SCHEDULE.alpha_bar(timesteps).flatten()
    oracle.timesteps = timesteps
    oracle.sigmas = torch.cat([((1 - alpha_bar) / alpha_bar).sqrt(), torch.zeros(1)]).float()
    oracle.set_begin_index(0)
    oracle.is_scale_input_called = True
    ours, noise, same = (
        EulerAncestral(SCHEDULE, timesteps),
        SeededNoise((1, 2)),
        SeededNoise((1, 2)),
    )
    x_t = noise.draw(SHAPE)
    assert torch.equal(x_t, same.draw(SHAPE))
    for index, (t, s) in enumerate(pairwise([*timesteps.tolist(), -1])):
        a_t = SCHEDULE.alpha_bar(timesteps[index : index + 1])
        root_t, root_s = (SCHEDULE.alpha_bar(torch.tensor([at])).sqrt().float() for at in (t, s))
        guess = estimate(Prediction(torch.sin(x_t)), x_t, a_t, clip=True)
        (x,) = oracle.step(
            guess.eps_hat, t * 1.0, x_t / root_t, generator=same.generators, return_dict=False
        )[:1]
        x_t = ours.step(guess, x_t, index, noise)
        assert torch.equal(x_t, x * root_s)


def test_varied_noise_is_one_seeds_the_others_or_between_at_every_draw() -> None:
    def draws(strength: float) -> list[Tensor]:
        noise = VariedNoise((1, 1), (8, 9), strength)
        return [noise.draw((3, 32, 32)) for _ in range(2)]

    own, others = SeededNoise((1, 1)), SeededNoise((8, 9))
    for none, half, full in zip(draws(0.0), draws(0.5), draws(1.0), strict=True):
        first, second = own.draw((3, 32, 32)), others.draw((3, 32, 32))
        assert torch.equal(none, first)
        assert torch.allclose(full, second, atol=1e-6)
        assert half.std().item() == pytest.approx(1, abs=0.03)
        assert ((half - first).norm() / (half - second).norm()).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("name", "num_steps", "tolerance"),
    [
        ("ddpm", 1000, 0.01),
        ("ddpm-large", 1000, 0.01),
        ("ddim", 200, 0.02),
        ("dpm-solver", 40, 0.02),
        ("dpm-solver-sde", 100, 0.03),
        ("dpm-solver-eta", 40, 0.02),
        ("unipc", 40, 0.02),
        ("euler-a", 400, 0.03),
    ],
)
def test_samples_of_a_gaussian_have_its_mean_and_variance(
    name: str, num_steps: int, tolerance: float
) -> None:
    mean, std = 0.3, 0.5
    noise, timesteps = SeededNoise([0]), spaced_timesteps(num_steps, 1000)
    stream = reverse_process(
        GaussianDenoiser(SCHEDULE, mean, std),
        SCHEDULE,
        noise.draw((1, 200, 200)),
        timesteps,
        sampler=named(name, timesteps, eta=0.0),
        noise=noise,
        clip=False,
    )
    *_, last = stream
    assert last.x_t.mean().item() == pytest.approx(mean, abs=tolerance)
    assert last.x_t.std().item() == pytest.approx(std, abs=tolerance)


@pytest.mark.parametrize("name", [n for n, k in KINDS.items() if k.variance != "learned"])
def test_every_x_t_is_variance_preserving(name: str) -> None:
    """For unit-variance data every x_t has unit variance, whatever the sampler's own scale."""
    timesteps = spaced_timesteps(200, 1000)
    noise = SeededNoise([3])
    for frame in reverse_process(
        GaussianDenoiser(SCHEDULE, 0.0, 1.0),
        SCHEDULE,
        noise.draw((1, 100, 100)),
        timesteps,
        sampler=named(name, timesteps),
        noise=noise,
        clip=False,
    ):
        assert frame.x_t.std().item() == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("name", KINDS)
def test_n_steps_give_n_plus_one_frames_that_end_clean(name: str) -> None:
    timesteps = spaced_timesteps(12, 1000)
    run = list(frames(named(name, timesteps), timesteps, denoiser=network_for(name)))
    assert [f.t for f in run] == [*timesteps.tolist(), -1]
    assert [f.index for f in run] == list(range(13))
    assert {f.total for f in run} == {12}
    assert run[-1].eps_hat is None
    assert torch.equal(run[-1].x_0_hat, run[-1].x_t)
    assert run[-1].x_t.isfinite().all()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_the_fewest_steps_are_finite(name: str, num_steps: int) -> None:
    timesteps = spaced_timesteps(num_steps, 1000)
    *_, last = frames(named(name, timesteps), timesteps, denoiser=network_for(name))
    assert last.x_t.isfinite().all()


def test_predictions_of_a_frame_belong_to_its_x_t() -> None:
    timesteps = spaced_timesteps(5, 1000)
    for frame in frames(DDPM(SCHEDULE, timesteps), timesteps, clip=False):
        if frame.eps_hat is not None:
            t = torch.full((2,), frame.t)
            again = WavyDenoiser().predict(frame.x_t, t, None)
            guess = estimate(again, frame.x_t, SCHEDULE.alpha_bar(t), clip=False)
            assert torch.equal(frame.eps_hat, guess.eps_hat)
            assert torch.equal(frame.x_0_hat, guess.x_0_hat)


@pytest.mark.parametrize("name", KINDS)
def test_two_interleaved_streams_give_what_each_gives_alone(name: str) -> None:
    network = network_for(name)
    long, short = spaced_timesteps(20, 1000), spaced_timesteps(9, 1000, "leading")

    def stream(timesteps: Tensor, seeds: tuple[int, ...]) -> Iterator[Frame]:
        return frames(named(name, timesteps), timesteps, seeds, network)

    *_, alone_long = stream(long, (1, 2))
    *_, alone_short = stream(short, (8, 9))
    first, second = stream(long, (1, 2)), stream(short, (8, 9))
    mixed_short = [pair[1] for pair in zip(first, second, strict=False)]
    *_, mixed_long = first
    assert torch.equal(mixed_long.x_t, alone_long.x_t)
    assert torch.equal(mixed_short[-1].x_t, alone_short.x_t)


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_does_not_depend_on_the_batch_it_is_in(name: str) -> None:
    timesteps, network = spaced_timesteps(10, 1000), network_for(name)
    *_, together = frames(named(name, timesteps), timesteps, (5, 6, 7), network)
    *_, alone = frames(named(name, timesteps), timesteps, (6,), network)
    assert torch.allclose(together.x_t[1:2], alone.x_t, atol=1e-6)


def test_closing_a_stream_stops_the_network() -> None:
    calls: list[int] = []

    class Counting(WavyDenoiser):
        def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
            calls.append(int(t[0]))
            return super().predict(x_t, t, condition)

    timesteps = spaced_timesteps(50, 1000)
    stream = reverse_process(
        Counting(),
        SCHEDULE,
        torch.zeros(1, *SHAPE),
        timesteps,
        sampler=DDPM(SCHEDULE, timesteps),
        noise=SeededNoise([0]),
    )
    next(stream), next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert len(calls) == 2
    assert list(stream) == []


def test_gradients_stay_as_the_caller_had_them_between_frames() -> None:
    timesteps = spaced_timesteps(3, 1000)
    for frame in frames(DDPM(SCHEDULE, timesteps), timesteps):
        assert torch.is_grad_enabled()
        assert not frame.x_t.requires_grad


def test_a_stream_may_start_from_any_t() -> None:
    timesteps = spaced_timesteps(10, 400)
    x_t = torch.ones(1, *SHAPE)
    stream = reverse_process(
        WavyDenoiser(),
        SCHEDULE,
        x_t,
        timesteps,
        sampler=DDIM(SCHEDULE, timesteps),
        noise=SeededNoise([0]),
    )
    first = next(stream)
    assert first.t == 399
    assert torch.equal(first.x_t, x_t)


@pytest.mark.parametrize("timesteps", [[], [1, 2], [5, 5]])
def test_timesteps_that_do_not_descend_are_refused(timesteps: list[int]) -> None:
    with pytest.raises(ValueError, match="descend"):
        next(frames(DDIM(SCHEDULE, torch.tensor([0])), torch.tensor(timesteps, dtype=torch.int64)))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("total", [1, 7, 400, 1000])
def test_spacings_are_right_for_every_n(spacing: Spacing, total: int) -> None:
    for n in range(1, total + 1):
        steps = spaced_timesteps(n, total, spacing)
        assert len(steps) == n
        assert bool((steps.diff() < 0).all())
        assert 0 <= int(steps[-1]) <= int(steps[0]) < total
        if spacing in ("trailing", "linspace"):
            assert int(steps[0]) == total - 1
        if spacing != "trailing" and n > 1:
            assert int(steps[-1]) == 0


@pytest.mark.parametrize("n", [10, 37, 50, 60, 250, 999, 1000])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_spacings_equal_diffusers(n: int, spacing: Spacing) -> None:
    theirs = DDPMScheduler(timestep_spacing=spacing)
    theirs.set_timesteps(n)
    assert theirs.timesteps.tolist() == spaced_timesteps(n, 1000, spacing).tolist()


def test_even_spacing_begins_later_than_leading_where_n_does_not_divide() -> None:
    first = {s: int(spaced_timesteps(60, 1000, s)[0]) for s in ("leading", "even")}
    assert first == {"leading": 944, "even": 983}
    assert torch.equal(spaced_timesteps(50, 1000, "even"), spaced_timesteps(50, 1000, "leading"))


@pytest.mark.parametrize("n", [0, -1, 1001])
def test_more_steps_than_timesteps_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="need 1 <= steps <= 1000"):
        spaced_timesteps(n, 1000)


def test_a_seed_gives_its_noise_in_any_batch() -> None:
    together, alone = SeededNoise((4, 5, 6)), SeededNoise((5,))
    for _ in range(3):
        assert torch.equal(together.draw(SHAPE)[1:2], alone.draw(SHAPE))


def test_derived_seeds_are_stable_and_all_different() -> None:
    seeds = {derived_seed(a, b) for a in range(30) for b in range(30)}
    assert len(seeds) == 900
    assert derived_seed(42, 0) == derived_seed(42, 0)
    torch.Generator().manual_seed(derived_seed(2**32 - 1, 999))


def test_the_mathematics_loads_neither_gradio_nor_diffusers() -> None:
    code = (
        "import sys, app.diffusion.reverse;"
        "sys.exit(any(m in sys.modules for m in ('gradio', 'diffusers', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
