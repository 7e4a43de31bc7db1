"""Noise: one picture's forward process, its posterior, and the way back from any x_t."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.diffusion.bound import prior_bpd
from app.diffusion.denoiser import estimate
from app.diffusion.forward import beta_tilde, posterior, posterior_weights, q_step
from app.diffusion.schedule import BETA_SCHEDULES, NoiseSchedule, code_t, paper_t
from app.diffusion.seeds import SeededNoise, derived_seed
from app.images.arrays import Pixels
from app.images.encoding import AnimationFormat, animation, png_bytes
from app.images.pixels import evenly_spaced, picture_pixels
from app.images.sheets import film_strip
from app.laboratory.experiments import Chain, Denoising, ForwardStrip, PosteriorStep
from app.laboratory.fields import ScheduleChoice
from app.laboratory.laboratory import MAX_POINTS, Laboratory, checked_model, require_within
from app.models.loading import LoadedModel
from app.painting.film import MAX_BYTES, Film, Films, Moment, ReplayStep
from app.painting.painter import Painter
from app.painting.recipe import file_stem
from app.painting.runs import LoadedRun, at_once
from app.painting.sampling import FIRST, SECOND, draw_eps, noised
from app.painting.sources import PictureSource, Replaying


@dataclass(frozen=True, eq=False)
class SampleStatistics:
    """One x_t, (H, W, 3) uint8, and the mean and standard deviation of its values.

    `correlation` is Pearson's, with sqrt(alpha_bar_t) x_0; None where x_0 or x_t has one value.
    """

    pixels: Pixels
    mean: float
    std: float
    correlation: float | None


def sample_of(model: LoadedModel, x_t: Tensor, x_0: Tensor) -> SampleStatistics:
    """Compute the statistics of `x_t` (1, C, H, W), which `model` diffuses, noised from `x_0`.

    A latent's are those of its own values, and its picture is what the decoder makes of it.
    """
    values, clean = x_t.double().flatten().numpy(), x_0.double().flatten().numpy()
    flat = clean.std() == 0 or values.std() == 0
    # The factor sqrt(alpha_bar_t) changes no correlation.
    correlation = None if flat else float(np.corrcoef(values, clean)[0, 1])
    return SampleStatistics(
        picture_pixels(model.decode(x_t))[0],
        float(values.mean()),
        float(values.std()),
        correlation,
    )


@dataclass(frozen=True, eq=False)
class ForwardMaterial:
    """The data from which a page computes x_t at every t without asking again.

    Of a latent model it is the picture with its noise as the linear decoder shows it, which makes
    no detail.

    Attributes:
        pixels: x_0 as (H, W, 3) uint8; x_0 itself is pixels / 127.5 - 1.
        eps: (H, W, 3) float32; three equal channels where the model is grey.
        alpha_bar: alpha_bar at the paper's t = 0, 1, ..., T.
        deviation: The noise's; 1 where it is noise of pictures.
        square: The pixels across of the squares in which the noise is the same.
    """

    pixels: Pixels
    eps: NDArray[np.float32]
    alpha_bar: tuple[float, ...]
    deviation: float = 1.0
    square: int = 1


def material_of(
    model: LoadedModel, x_0: Tensor, seed: int, which: int, schedule: NoiseSchedule | None = None
) -> ForwardMaterial:
    """Return the material of `x_0` (1, C, H, W) and the eps that `which` derives from `seed`."""
    eps = model.seen_noise(draw_eps(seed, which, model.info))[0]
    return ForwardMaterial(
        pixels=picture_pixels(model.decode(x_0))[0],
        eps=eps.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy(),
        alpha_bar=(1.0, *(schedule or model.schedule).alphas_cumprod.tolist()),
        deviation=model.latents.linear.deviation if model.latents else 1.0,
        square=model.latents.linear.factor if model.latents else 1,
    )


@dataclass(frozen=True, eq=False)
class NoisedMoment:
    """x_t at one t: the paper's `t`, alpha_bar, SNR in dB (infinite at t = 0), and statistics."""

    t: int
    signal: float
    snr_db: float
    sample: SampleStatistics


@dataclass(frozen=True, eq=False)
class NoiseStrip:
    """A picture on its way to noise.

    Attributes:
        experiment: Says how to draw the strip again.
        moments: From t = 0 to T.
        prior_bpd: L_T of this picture under this schedule, in bits/dim.
    """

    experiment: ForwardStrip
    moments: tuple[NoisedMoment, ...]
    prior_bpd: float

    @property
    def name(self) -> str:
        """A file name without its ending."""
        schedule = f"-{self.experiment.schedule.name}" if self.experiment.schedule else ""
        return f"{file_stem(self.experiment.model)}-noising{schedule}-seed-{self.experiment.seed}"

    def png(self) -> bytes:
        """Draw the strip with t under each picture, and the experiment inside."""
        pictures = [moment.sample.pixels for moment in self.moments]
        captions = [f"t = {moment.t}" for moment in self.moments]
        return png_bytes(film_strip(pictures, captions), self.experiment)

    def animation(self, form: AnimationFormat) -> bytes:
        """Animate the picture as it dissolves into noise."""
        return animation([moment.sample.pixels for moment in self.moments], form)


@dataclass(frozen=True, eq=False)
class ChainComparison:
    """x_t drawn in two ways; the two share no noise, only their distribution.

    Attributes:
        experiment: Says how to draw both x_t again; its t is the number of single steps.
        signal: alpha_bar_t.
        chain: x_t drawn by t single steps (eq. 2).
        closed: x_t drawn at once (eq. 4).
        expected_std: What both standard deviations estimate, for this x_0.
    """

    experiment: Chain
    signal: float
    chain: SampleStatistics
    closed: SampleStatistics
    expected_std: float

    def png(self) -> bytes:
        """Draw both x_t side by side, with the experiment inside."""
        captions = [f"{self.experiment.t} steps", "at once"]
        sheet = film_strip([self.chain.pixels, self.closed.pixels], captions, side=192)
        return png_bytes(sheet, self.experiment)


@dataclass(frozen=True, eq=False)
class PosteriorView:
    """The posterior of one step beside the model's (eqs. 6, 7 and 11).

    Attributes:
        experiment: Says how to compute the view again; the step leads from its t to t - 1.
        coefficient_x_0: The coefficient of x_0 in mu_tilde.
        coefficient_x_t: The coefficient of x_t in mu_tilde.
        beta_tilde: The posterior's variance.
        beta: The forward step's variance.
        x_t: (H, W, 3) uint8, like the pictures below.
        x_0_hat: The model's estimate of x_0.
        mu_tilde: The posterior's mean, which knows x_0.
        mu_theta: The model's mean, which doesn't know x_0.
        difference: mu_theta - mu_tilde over `difference_scale`, grey at 0; of latents its colours.
        difference_scale: The largest absolute difference.
        difference_rms: The root of the mean squared difference.
    """

    experiment: PosteriorStep
    coefficient_x_0: float
    coefficient_x_t: float
    beta_tilde: float
    beta: float
    x_t: Pixels
    x_0_hat: Pixels
    mu_tilde: Pixels
    mu_theta: Pixels
    difference: Pixels
    difference_scale: float
    difference_rms: float

    def png(self) -> bytes:
        """Draw the pictures side by side, with the experiment inside."""
        pictures = [self.x_t, self.x_0_hat, self.mu_tilde, self.mu_theta, self.difference]
        captions = ["x_t", "x_0 hat", "mu tilde", "mu theta", "difference"]
        return png_bytes(film_strip(pictures, captions, side=192), self.experiment)


PAPERS_RANGE: Final = (1e-4, 0.02)


@dataclass(frozen=True)
class ScheduleCurves:
    """One schedule, at up to 500 evenly spaced t.

    Attributes:
        label: "linear", or "linear 0.0002 to 0.01" for a range that isn't the paper's.
        choice: The choice that makes the schedule.
        t: The paper's timesteps, from 1 to T.
        beta: beta_t.
        alpha_bar: alpha_bar_t.
        log_snr: The natural logarithm of alpha_bar / (1 - alpha_bar).
        prior_bpd: L_T in bits/dim of the picture asked about.
    """

    label: str
    choice: ScheduleChoice
    t: tuple[int, ...]
    beta: tuple[float, ...]
    alpha_bar: tuple[float, ...]
    log_snr: tuple[float, ...]
    prior_bpd: float


def curves_of(choice: ScheduleChoice, length: int, x_0: Tensor) -> ScheduleCurves:
    """Compute the curves of a schedule of T = `length`, and its L_T of `x_0` (1, C, H, W)."""
    schedule = choice.of_length(length)
    at = evenly_spaced(MAX_POINTS, length)
    index = torch.tensor(at)
    alpha_bar = schedule.alphas_cumprod.double()[index]
    ends = (choice.beta_start, choice.beta_end)
    plain = choice.name == "cosine" or ends == PAPERS_RANGE
    return ScheduleCurves(
        label=choice.name if plain else f"{choice.name} {ends[0]:g} to {ends[1]:g}",
        choice=choice,
        t=tuple(paper_t(i) for i in at),
        beta=tuple(schedule.betas[index].tolist()),
        alpha_bar=tuple(alpha_bar.tolist()),
        log_snr=tuple((alpha_bar / (1 - alpha_bar)).log().tolist()),
        prior_bpd=float(prior_bpd(schedule, x_0)[0]),
    )


class NoiseLab(Laboratory):
    """The laboratory of the forward process.

    Attributes:
        films: Denoise from x_t, in as many variations as a run has pictures.
    """

    def __init__(self, painter: Painter) -> None:
        super().__init__(painter)
        self.films: Films[Denoising] = Films(
            self.complete, self.network_steps, self._denoise, Film, MAX_BYTES
        )

    def material(self, noising: ForwardStrip) -> ForwardMaterial:
        """Return what a page needs to draw x_t of `noising` at every t by itself."""
        model, x_0 = self._start(noising.model, noising.source)
        return material_of(model, x_0, noising.seed, FIRST, _schedule(model, noising.schedule))

    def strip(self, noising: ForwardStrip) -> NoiseStrip:
        """Draw x_t at evenly spaced t, 0 and T among them.

        Raises:
            ModelError, PictureError, RecipeError: If the model or the source can't be used.
        """
        model, x_0 = self._start(noising.model, noising.source)
        schedule = _schedule(model, noising.schedule)
        moments = []
        for place, t in enumerate(evenly_spaced(noising.moments, schedule.num_train_timesteps + 1)):
            seed = derived_seed(noising.seed, FIRST, place) if noising.fresh else noising.seed
            eps, level = draw_eps(seed, FIRST, model.info), schedule.level(code_t(t))
            x_t = noised(schedule, x_0, t, eps)
            moments.append(NoisedMoment(t, level.signal, level.snr_db, sample_of(model, x_t, x_0)))
        return NoiseStrip(noising, tuple(moments), float(prior_bpd(schedule, x_0)[0]))

    def schedules(
        self, model: str, source: PictureSource, own: ScheduleChoice | None = None
    ) -> tuple[ScheduleCurves, ...]:
        """Compare the named schedules and a person's own, of the model's T, on one picture."""
        loaded, x_0 = self._start(model, source)
        choices = [ScheduleChoice(name=name) for name in BETA_SCHEDULES]
        choices += [] if own is None else [own]
        return tuple(curves_of(choice, loaded.info.num_train_timesteps, x_0) for choice in choices)

    def chain(self, chain: Chain) -> ChainComparison:
        """Draw x_t by single steps (eq. 2) and at once (eq. 4), from independent noise.

        Raises:
            ModelError, PictureError, RecipeError: If the model or the source can't be used, or
                t is beyond T.
        """
        model, x_0 = self._start(chain.model, chain.source)
        require_within(chain.t, model.info)
        schedule = _schedule(model, chain.schedule)
        noise = SeededNoise([derived_seed(chain.seed, SECOND)])
        x = x_0.double()
        for step in range(code_t(chain.t) + 1):
            t = torch.tensor([step])
            x = q_step(schedule, x, t, t - 1).sample(noise.draw(x.shape[1:]).double())
        signal = schedule.level(code_t(chain.t)).signal
        at_once_x_t = noised(schedule, x_0, chain.t, draw_eps(chain.seed, FIRST, model.info))
        return ChainComparison(
            experiment=chain,
            signal=signal,
            chain=sample_of(model, x, x_0),
            closed=sample_of(model, at_once_x_t, x_0),
            expected_std=math.sqrt(signal * float(x_0.var(correction=0)) + 1 - signal),
        )

    @torch.no_grad()
    def inspect(self, inspection: PosteriorStep) -> PosteriorView:
        """Compute the posterior's mean and variance at one step, and the model's beside them.

        Raises:
            ModelError, PictureError, RecipeError: If the model or the source can't be used, t is
                beyond T, or the label doesn't fit.
        """
        model, x_0 = self._start(inspection.model, inspection.source)
        require_within(inspection.t, model.info)
        checked_model(self._painter, inspection)
        label = model.info.label_of(inspection.label)
        inspection = inspection.model_copy(update={"label": label})
        time = code_t(inspection.t)
        t, eps = torch.tensor([time]), draw_eps(inspection.seed, FIRST, model.info)
        x_t = noised(model.schedule, x_0, inspection.t, eps)
        condition = model.condition(inspection.label, 1)
        prediction = model.denoiser(inspection.precision).predict(x_t, t, condition)
        clip = inspection.clip and model.info.latent is None
        guess = estimate(prediction, x_t, model.schedule.alpha_bar(t), clip=clip)
        true = posterior(model.schedule, x_0, x_t, t, t - 1)
        mu_theta = posterior(model.schedule, guess.x_0_hat, x_t, t, t - 1).mean
        w_0, w_t = posterior_weights(model.schedule, t, t - 1)
        difference = mu_theta - true.mean
        largest = float(difference.abs().max())
        return PosteriorView(
            experiment=inspection,
            coefficient_x_0=float(w_0),
            coefficient_x_t=float(w_t),
            beta_tilde=float(beta_tilde(model.schedule, t, t - 1)),
            beta=float(model.schedule.betas[time]),
            x_t=picture_pixels(model.seen(x_t))[0],
            x_0_hat=picture_pixels(model.decode(guess.x_0_hat))[0],
            mu_tilde=picture_pixels(model.seen(true.mean))[0],
            mu_theta=picture_pixels(model.seen(mu_theta))[0],
            difference=picture_pixels(model.seen_noise(difference / (largest or 1)))[0],
            difference_scale=largest,
            difference_rms=float((difference**2).mean().sqrt()),
        )

    def _denoise(self, run: LoadedRun[Denoising]) -> Iterator[Moment | ReplayStep]:
        return self._film(self.films, run, self._noised)

    def _noised(self, run: LoadedRun[Denoising]) -> Replaying[Tensor]:
        denoising, model = run.request, run.model
        (x_0,) = yield from self._x_0(denoising, model)
        eps = draw_eps(denoising.seed, FIRST, model.info)
        return noised(model.schedule, x_0, denoising.t, eps)

    def _start(self, model: str, source: PictureSource) -> tuple[LoadedModel, Tensor]:
        loaded = self._models.load(model)
        return loaded, at_once(self._sources.x_0(source, loaded))


def _schedule(model: LoadedModel, choice: ScheduleChoice | None) -> NoiseSchedule:
    return model.schedule if choice is None else choice.of_length(model.info.num_train_timesteps)
