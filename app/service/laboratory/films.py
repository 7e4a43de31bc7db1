"""Runs from some x_t that leave a film, as a painting does: denoised pictures, single mixtures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from app.diffusion.noise import derived_seed
from app.service.laboratory.decoding import WAY_BACK, decode, steps_from
from app.service.laboratory.experiments import Denoising, Mixing
from app.service.lending import lend
from app.service.models import LoadedModel, ModelInfo, ModelStore
from app.service.moments import Moment, kept_frames, moment_of
from app.service.pictures import (
    AnimationFormat,
    Pixels,
    animation,
    evenly_spaced,
    film_strip,
    png_bytes,
)
from app.service.recent import LABORATORY_BYTES, Recent
from app.service.recipe import file_stem
from app.service.results import STRIP_PICTURES

Filmed = Denoising | Mixing


@dataclass(frozen=True, eq=False)
class FilmResult:
    """One finished picture and the film of how it came about.

    Attributes:
        experiment: Says how to do it again, and by `run.picture` which variation it is.
        film: The kept moments of all variations, x_t first.
    """

    experiment: Filmed
    film: tuple[Moment, ...]

    @property
    def name(self) -> str:
        """A file name without its ending: "impressionist-64-mixing-500-seed-3"."""
        it = self.experiment
        return (
            f"{file_stem(it.run.model)}-{it.experiment}-{it.t}-seed-{it.run.seed + it.run.picture}"
        )

    @property
    def pixels(self) -> Pixels:
        """The finished picture, (H, W, 3) uint8."""
        return np.asarray(self.film[-1].x_t[self.experiment.run.picture])

    def png(self) -> bytes:
        """The picture at its own size, with the experiment inside."""
        return png_bytes(Image.fromarray(self.pixels), self.experiment)

    def strip(self) -> bytes:
        """A PNG of ten evenly spaced moments, from x_t to the picture, with t under each."""
        moments = [self.film[i] for i in evenly_spaced(STRIP_PICTURES, len(self.film))]
        pictures = [moment.x_t[self.experiment.run.picture] for moment in moments]
        return png_bytes(film_strip(pictures, [f"t = {m.t}" for m in moments]), self.experiment)

    def animation(self, form: AnimationFormat) -> bytes:
        """The run as a moving picture."""
        return animation([m.x_t[self.experiment.run.picture] for m in self.film], form)


class Films:
    """Runs experiments that end in a film and remembers the films."""

    def __init__(self, models: ModelStore) -> None:
        self._stream = lend(models, _moments, _steps)
        self._recent: Recent[tuple[Moment, ...]] = Recent(LABORATORY_BYTES)

    def run(self, experiment: Filmed, model: LoadedModel, x_t: Tensor) -> Iterator[Moment]:
        """Decode `x_t` (run.pictures, C, H, W), each variation with noise of its own."""
        run = experiment.run
        total = steps_from(run, experiment.t, model.info.num_train_timesteps)
        kept, film = set(kept_frames(total, run.pictures, model.info.size)), []
        for moment in self._stream(model, experiment, x_t):
            if moment.index in kept:
                film.append(moment)
            yield moment
        key = about(experiment, 0)
        self._recent.put(key, tuple(film), sum(moment.nbytes for moment in film))

    def results(self, experiment: Filmed) -> tuple[FilmResult, ...] | None:
        """The pictures of a run that was done lately and is still kept."""
        film = self._recent.get(about(experiment, 0))
        if film is None:
            return None
        return tuple(FilmResult(about(experiment, i), film) for i in range(experiment.run.pictures))


def _moments(model: LoadedModel, experiment: Filmed, x_t: Tensor) -> Iterator[Moment]:
    run = experiment.run
    seeds = [derived_seed(run.seed + i, WAY_BACK) for i in range(run.pictures)]
    for frame in decode(model, run, x_t, experiment.t, seeds):
        yield moment_of(frame, model.schedule)


def _steps(info: ModelInfo, experiment: Filmed, _: Tensor) -> tuple[int, int]:
    run = experiment.run
    return steps_from(run, experiment.t, info.num_train_timesteps), run.pictures


def about(experiment: Filmed, picture: int) -> Filmed:
    """The same experiment, meaning its variation `picture`."""
    return experiment.model_copy(update={"run": experiment.run.about(picture)})
