"""The bound, against the paper's formulas written out again and against a closed form."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.diffusion.bound import Term, bound_terms, prior_bpd, step_bpd, vlb_weights
from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, Estimate, Prediction
from app.diffusion.forward import q_sample
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise
from app.diffusion.variance import Variance
from tests.diffusion.oracles import GaussianDenoiser, WavyDenoiser

SCHEDULE = NoiseSchedule.named()
VARIANCES: tuple[Variance, ...] = ("fixed_small", "fixed_large", "learned")
TIMESTEPS = (999, 500, 20, 2, 1, 0)
Array = NDArray[np.float64]


def picture(batch: int = 2) -> Tensor:
    levels = torch.randint(0, 256, (batch, 3, 8, 8), generator=torch.Generator().manual_seed(5))
    return levels / 127.5 - 1


def terms(
    denoiser: Denoiser, x_0: Tensor, timesteps: tuple[int, ...], **options: object
) -> list[Term]:
    noise = SeededNoise(range(len(x_0)))
    return list(
        bound_terms(denoiser, SCHEDULE, x_0, torch.tensor(timesteps), noise=noise, **options)  # type: ignore[arg-type]
    )


class Paper:
    """Ho et al. (2020), written out again with 1-based t, in numpy's float64."""

    def __init__(self) -> None:
        self.beta = np.concatenate([[np.nan], np.linspace(1e-4, 0.02, 1000)])
        self.alpha = 1 - self.beta
        self.bar = np.concatenate([[1.0], np.cumprod(self.alpha[1:])])

    def beta_tilde(self, t: int) -> float:
        return float((1 - self.bar[t - 1]) / (1 - self.bar[t]) * self.beta[t])

    def mu_tilde(self, x_0: Array, x_t: Array, t: int) -> Array:
        """Eq. 7."""
        of_x_0 = math.sqrt(self.bar[t - 1]) * self.beta[t] / (1 - self.bar[t])
        of_x_t = math.sqrt(self.alpha[t]) * (1 - self.bar[t - 1]) / (1 - self.bar[t])
        return np.asarray(of_x_0 * x_0 + of_x_t * x_t)

    def variance(self, t: int, kind: Variance, learned: Array) -> Array:
        small = self.beta_tilde(max(t, 2))
        if kind == "fixed_small" or (kind == "fixed_large" and t == 1):
            return np.full_like(learned, small)
        if kind == "fixed_large":
            return np.full_like(learned, self.beta[t])
        share = (learned + 1) / 2
        return np.asarray(np.exp(share * np.log(self.beta[t]) + (1 - share) * np.log(small)))

    def term(
        self, denoiser: Denoiser, x_0: Array, eps: Array, t: int, kind: Variance, *, clip: bool
    ) -> Array:
        """L_{t-1}, or for t = 1 L_0, in bits/dim, of each picture."""
        x_t = math.sqrt(self.bar[t]) * x_0 + math.sqrt(1 - self.bar[t]) * eps
        answer = denoiser.predict(
            torch.from_numpy(x_t).float(), torch.full((len(x_t),), t - 1), None
        )
        eps_theta = answer.output.double().numpy()
        if clip:
            x_0_theta = (x_t - math.sqrt(1 - self.bar[t]) * eps_theta) / math.sqrt(self.bar[t])
            mean = self.mu_tilde(np.clip(x_0_theta, -1, 1), x_t, t)
        else:  # eq. 11
            mean = x_t - self.beta[t] / math.sqrt(1 - self.bar[t]) * eps_theta
            mean = mean / math.sqrt(self.alpha[t])
        learned = (
            np.zeros_like(x_0) if answer.variance is None else answer.variance.double().numpy()
        )
        var = self.variance(t, kind, learned)
        if t == 1:
            nats = -np.log(self.level_mass(x_0, mean, np.sqrt(var)))
        else:
            true, true_var = self.mu_tilde(x_0, x_t, t), self.beta_tilde(t)
            ratio = true_var / var
            nats = 0.5 * (ratio - 1 - np.log(ratio) + (true - mean) ** 2 / var)
        return np.asarray(nats.reshape(len(x_0), -1).mean(1) / math.log(2))

    @staticmethod
    def level_mass(x_0: Array, mean: Array, std: Array) -> Array:
        """Eq. 13, one pixel at a time."""
        mass = []
        for x, m, s in zip(x_0.flat, mean.flat, std.flat, strict=True):
            low = -math.inf if x <= -1 + 1e-6 else x - 1 / 255
            high = math.inf if x >= 1 - 1e-6 else x + 1 / 255
            a, b = (low - m) / s / math.sqrt(2), (high - m) / s / math.sqrt(2)
            a, b = (-b, -a) if a > 0 else (a, b)
            mass.append(max((math.erfc(-b) - math.erfc(-a)) / 2, 1e-12))
        return np.array(mass).reshape(x_0.shape)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", VARIANCES)
def test_terms_agree_with_the_papers_formulas_for_the_same_noise(
    variance: Variance, clip: bool
) -> None:
    denoiser, x_0 = WavyDenoiser(learned_variance=variance == "learned"), picture()
    ours = terms(denoiser, x_0, TIMESTEPS, variance=variance, clip=clip)
    generators = [torch.Generator().manual_seed(i) for i in range(len(x_0))]
    for term in ours:
        eps = torch.stack([torch.randn((3, 8, 8), generator=g) for g in generators])
        theirs = Paper().term(
            denoiser, x_0.double().numpy(), eps.double().numpy(), term.t + 1, variance, clip=clip
        )
        assert np.abs(term.bpd.numpy() - theirs).max() < 1e-4


def test_prior_agrees_with_its_closed_form() -> None:
    x_0, a = picture(), Paper().bar[1000]
    square = (x_0.double() ** 2).flatten(1).mean(1)
    nats = 0.5 * (a * square + (1 - a) - 1 - math.log(1 - a))
    assert torch.allclose(prior_bpd(SCHEDULE, x_0), nats / math.log(2), rtol=1e-9)


@pytest.mark.parametrize("t", [999, 600, 100, 10, 1])
def test_steps_of_the_exact_gaussian_model_agree_with_their_closed_form(t: int) -> None:
    """E over x_t of L_{t-1}: mu_theta misses mu_tilde by c (x_0 - E[x_0 | x_t])."""
    mean, std, draws = 0.2, 0.5, 256
    x_0 = torch.full((draws, 1, 4, 4), 0.7)
    paper = Paper()
    (term,) = terms(GaussianDenoiser(SCHEDULE, mean, std), x_0, (t,), clip=False)
    bar, beta = paper.bar[t + 1], paper.beta[t + 1]
    var_t = bar * std**2 + 1 - bar
    offset = (0.7 - mean) * (1 - bar) / var_t
    wobble = math.sqrt(bar * (1 - bar)) * std**2 / var_t
    coefficient = math.sqrt(paper.bar[t]) * beta / (1 - bar)
    nats = coefficient**2 * (offset**2 + wobble**2) / (2 * paper.beta_tilde(t + 1))
    error = float(term.bpd.std()) / math.sqrt(draws)
    assert abs(float(term.bpd.mean()) - nats / math.log(2)) < 3 * error


def test_unclipped_steps_are_the_weighted_error_of_eps() -> None:
    weights = vlb_weights(SCHEDULE)
    for term in terms(WavyDenoiser(), picture(), (999, 400, 3, 1), clip=False):
        assert torch.allclose(term.bpd, weights[term.t] * term.eps_mse, rtol=1e-5)


def test_clipping_leaves_the_simple_loss_alone() -> None:
    clipped, free = (terms(WavyDenoiser(), picture(), (999, 5), clip=c) for c in (True, False))
    for one, other in zip(clipped, free, strict=True):
        assert torch.equal(one.eps_mse, other.eps_mse)
        assert bool((one.x_0_mse < other.x_0_mse).all())


def test_a_batch_of_several_timesteps_has_each_ones_term() -> None:
    x_0, t = picture(3).double(), torch.tensor([0, 1, 700])
    x_t = q_sample(SCHEDULE, x_0, t, torch.ones_like(x_0) / 2)
    guess = Estimate(torch.sin(3 * x_0), x_t, torch.cos(x_0))
    together = step_bpd(SCHEDULE, x_0, x_t, guess, t, variance="learned")
    for i in range(3):
        one = slice(i, i + 1)
        of_one = Estimate(guess.x_0_hat[one], x_t[one], torch.cos(x_0[one]))
        alone = step_bpd(SCHEDULE, x_0[one], x_t[one], of_one, t[one], variance="learned")
        torch.testing.assert_close(alone, together[one])


def test_the_terms_have_the_gradient_of_their_values() -> None:
    x_0, t = picture()[..., :2, :2].double(), torch.tensor([0, 300])
    x_t = q_sample(SCHEDULE, x_0, t, torch.full_like(x_0, 0.3))

    def bpd(x_0_hat: Tensor, learned: Tensor) -> Tensor:
        guess = Estimate(x_0_hat, x_t, learned)
        return step_bpd(SCHEDULE, x_0, x_t, guess, t, variance="learned")

    near = (x_0 + 0.003).requires_grad_(True)
    assert torch.autograd.gradcheck(bpd, (near, x_t.cos().requires_grad_(True)), eps=1e-7)


def test_a_picture_has_its_terms_whatever_batch_it_is_in() -> None:
    batch = terms(WavyDenoiser(), picture(3), (500, 0))
    alone = terms(WavyDenoiser(), picture(3)[:1], (500, 0))
    for together, single in zip(batch, alone, strict=True):
        assert torch.allclose(together.bpd[:1], single.bpd)


def test_learned_variance_without_one_is_refused() -> None:
    with pytest.raises(ValueError, match="no variance"):
        terms(WavyDenoiser(), picture(), (5,), variance="learned")


def test_closing_the_stream_stops_the_network() -> None:
    calls: list[int] = []

    class Counting:
        def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
            calls.append(int(t[0]))
            return Prediction(x_t)

    stream = bound_terms(
        Counting(), SCHEDULE, picture(), torch.tensor([9, 8, 7]), noise=SeededNoise([0, 1])
    )
    next(stream)
    assert torch.is_grad_enabled()
    stream.close()  # type: ignore[attr-defined]
    assert calls == [9]
