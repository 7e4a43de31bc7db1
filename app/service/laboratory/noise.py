"""Noise: the forward process, its posterior, and the way back from any x_t."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from app.diffusion.bound import prior_bpd
from app.diffusion.denoiser import Condition, estimate
from app.diffusion.forward import posterior, q_sample, q_step
from app.diffusion.noise import SeededNoise, derived_seed
from app.diffusion.schedule import NoiseSchedule, code_t
from app.service.laboratory.decoding import (
    FIRST,
    SECOND,
    completed,
    draw_eps,
    noised,
    require_within,
    steps_from,
)
from app.service.laboratory.experiment import ScheduleChoice, Source
from app.service.laboratory.experiments import Chain, Denoising, Inspection, Noising
from app.service.laboratory.films import FilmResult, Films
from app.service.laboratory.forward import (
    ChainComparison,
    ForwardMaterial,
    NoisedMoment,
    NoiseStrip,
    PosteriorView,
    material_of,
)
from app.service.laboratory.schedules import ScheduleCurves, compared
from app.service.laboratory.sources import Sources, at_once
from app.service.laboratory.statistics import sample_of
from app.service.models import LoadedModel
from app.service.moments import Moment, Retrace
from app.service.painting import Painter
from app.service.pictures import Pixels, evenly_spaced, picture_pixels
from app.service.recipe import Recipe


class NoiseLab:
    """The laboratory of the forward process."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._models = painter.models
        self._sources = Sources(painter)
        self._films = Films(painter.models)

    def picture(self, model: str, source: Source) -> Pixels:
        """`source` as `model` will see it, (H, W, 3) uint8; a painted one is painted first."""
        return at_once(self._sources.pixels(source, self._models.describe(model)))

    def material(self, noising: Noising) -> ForwardMaterial:
        """What a page needs to draw x_t at every t by itself; of `noising`, all but the strip."""
        model, x_0 = self._start(noising.model, noising.source)
        return material_of(model, x_0, noising.seed, FIRST, _schedule(model, noising.schedule))

    def strip(self, noising: Noising) -> NoiseStrip:
        """x_t at evenly spaced t, 0 and T among them.

        Raises:
            ModelError, PictureError, RecipeError: If the model or the source can't be used.
        """
        model, x_0 = self._start(noising.model, noising.source)
        schedule = _schedule(model, noising.schedule)
        moments = []
        for place, t in enumerate(evenly_spaced(noising.moments, schedule.num_train_timesteps + 1)):
            seed = derived_seed(noising.seed, FIRST, place) if noising.fresh else noising.seed
            eps, time = draw_eps(seed, FIRST, model.info), code_t(t)
            x_t = q_sample(schedule, x_0, torch.tensor([time]), eps)
            seen = sample_of(x_t, x_0)
            moments.append(NoisedMoment(t, schedule.signal(time), schedule.snr_db(time), seen))
        return NoiseStrip(noising, tuple(moments), float(prior_bpd(schedule, x_0)[0]))

    def schedules(
        self, model: str, source: Source, own: ScheduleChoice | None = None
    ) -> tuple[ScheduleCurves, ...]:
        """The named schedules and a person's own, of the model's T, with L_T of the picture."""
        loaded, x_0 = self._start(model, source)
        return compared(x_0, loaded.info.num_train_timesteps, own)

    def chain(self, chain: Chain) -> ChainComparison:
        """x_t by single steps, and at once, from independent noise.

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
        time = code_t(chain.t)
        signal = schedule.signal(time)
        eps = draw_eps(chain.seed, FIRST, model.info)
        at_once_x_t = q_sample(schedule, x_0, torch.tensor([time]), eps)
        return ChainComparison(
            experiment=chain,
            signal=signal,
            chain=sample_of(x, x_0),
            closed=sample_of(at_once_x_t, x_0),
            expected_std=math.sqrt(signal * float(x_0.var(correction=0)) + 1 - signal),
        )

    @torch.no_grad()
    def inspect(self, inspection: Inspection) -> PosteriorView:
        """The posterior's mean and variance at one step, and the model's beside them.

        Raises:
            ModelError, PictureError, RecipeError: If the model or the source can't be used, t is
                beyond T, or the label doesn't fit.
        """
        model, x_0 = self._start(inspection.model, inspection.source)
        require_within(inspection.t, model.info)
        self._painter.complete(
            Recipe(
                model=model.info.id,
                steps=1,
                label=inspection.label,
                precision=inspection.precision,
            )
        )
        time = code_t(inspection.t)
        t = torch.tensor([time])
        x_t = q_sample(model.schedule, x_0, t, draw_eps(inspection.seed, FIRST, model.info))
        condition = (
            None if inspection.label is None else Condition(torch.tensor([inspection.label]))
        )
        prediction = model.denoiser(inspection.precision).predict(x_t, t, condition)
        guess = estimate(model.schedule, prediction, x_t, t, clip=inspection.clip)
        true = posterior(model.schedule, x_0, x_t, t, t - 1)
        mu_theta = posterior(model.schedule, guess.x_0_hat, x_t, t, t - 1).mean
        one, zero = torch.ones((1, 1, 1, 1)).double(), torch.zeros((1, 1, 1, 1)).double()
        difference = mu_theta - true.mean
        largest = float(difference.abs().max())
        return PosteriorView(
            experiment=inspection,
            coefficient_x_0=float(posterior(model.schedule, one, zero, t, t - 1).mean),
            coefficient_x_t=float(posterior(model.schedule, zero, one, t, t - 1).mean),
            beta_tilde=float(posterior(model.schedule, one, one, t, t - 1).var),
            beta=float(model.schedule.betas[time]),
            x_t=picture_pixels(x_t)[0],
            x_0_hat=picture_pixels(guess.x_0_hat)[0],
            mu_tilde=picture_pixels(true.mean)[0],
            mu_theta=picture_pixels(mu_theta)[0],
            difference=picture_pixels(difference / (largest or 1))[0],
            difference_scale=largest,
            difference_rms=float((difference**2).mean().sqrt()),
        )

    def complete(self, denoising: Denoising) -> Denoising:
        """The experiment as it will be done here: with the weights' hash and the versions.

        Raises:
            ModelError, RecipeError: If the model isn't there or can't run this.
        """
        run = completed(self._painter, denoising)
        side = self._models.describe(run.run.model).size
        steps, recipe = self.network_steps(run), run.run
        self._painter.limits.check_work(steps, recipe.pictures, side, guided=recipe.is_guided)
        return run

    def network_steps(self, denoising: Denoising) -> int:
        """The network's steps that `denoise` will take, painting the source included."""
        length = self._models.describe(denoising.run.model).num_train_timesteps
        painting = self._sources.network_steps(denoising.source)
        return painting + steps_from(denoising.run, denoising.t, length)

    def denoise(self, denoising: Denoising) -> Iterator[Moment | Retrace]:
        """What the model makes of x_t, in as many variations as `run.pictures`.

        Yields:
            A Retrace for each step of painting the source, where that is needed, then Moments
            from x_t to clean. Closing the stream ends the network's work.

        Raises:
            ModelError, PictureError, RecipeError: If the model or the source can't be used, or
                the model can't run this.
        """
        self.complete(denoising)
        model = self._models.load(denoising.run.model)
        x_0 = yield from self._sources.x_0(denoising.source, model.info)
        x_t = noised(model, x_0, denoising.t, draw_eps(denoising.seed, FIRST, model.info))
        batch = x_t.expand(denoising.run.pictures, -1, -1, -1).clone()
        yield from self._films.run(denoising, model, batch)

    def results(self, denoising: Denoising) -> tuple[FilmResult, ...]:
        """The pictures of a run; it is done first where it hasn't been lately.

        Raises:
            ModelError, PictureError, RecipeError: As `denoise` does.
        """
        found = self._films.results(denoising)
        if found is None:
            for _ in self.denoise(denoising):
                pass
            found = self._films.results(denoising)
        return found or ()

    def _start(self, model: str, source: Source) -> tuple[LoadedModel, Tensor]:
        loaded = self._models.load(model)
        return loaded, at_once(self._sources.x_0(source, loaded.info))


def _schedule(model: LoadedModel, choice: ScheduleChoice | None) -> NoiseSchedule:
    return model.schedule if choice is None else choice.of_length(model.info.num_train_timesteps)
