"""Evaluate a second stage: real pictures made small and a first stage's samples, painted anew.

The small pictures are of paintings that neither stage has seen. Where an output has an original,
the two are compared picture by picture; for that the paintings are first shrunk a little, which
takes a JPEG's own grid away. The distances between sets need other paintings, for no picture may
stand on both sides.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast, get_args

import numpy as np
import torch
from torch import Tensor

from app import __version__
from app.diffusion.cascade import RATIO, back_projected, enlarged
from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import estimate
from app.diffusion.forward import q_sample
from app.diffusion.reverse import Spacing
from app.errors import StudioError
from app.evaluation import enlargement, nearest_crops
from app.evaluation.bootstrap import Interval, bootstrap_mean, bootstrap_means
from app.evaluation.evaluator import Provenance, Step, library_versions
from app.evaluation.features import RandomNetwork, StyleNetwork
from app.evaluation.judge import (
    LOSS_BATCH,
    LOSS_DRAWS,
    Comparison,
    Judge,
    LossFigures,
    loss_batches,
    loss_figures,
    stratified,
)
from app.evaluation.stage_pictures import StagePictures
from app.images.arrays import Floats, Pixels
from app.images.pixels import evenly_spaced, to_bytes, to_unit
from app.images.reading import resized
from app.models.stages import describe_stage
from app.novelty.index import FeatureSpace
from app.painting.painter import Painter
from app.painting.recipe import MAX_PICTURES, Recipe
from app.painting.stages import HandOver, check_stage, stage_frames
from app.training.validation import HeldOutLoss

SPREAD: Final = 8
"""The pictures of which several are painted, and how many of each."""


@dataclass(frozen=True)
class StagePlan:
    """A row of the tables: how the second stage paints.

    Attributes:
        sampler: DPM-Solver++ 2M, with noise added back ("sde") or without ("ode").
        steps: Its steps.
        noise: The t, 0 for none, of the noise with which it is shown the small pictures.
        spacing: How its steps lie in 0 to T.
        back_projection: Whether outputs are judged after back-projection.
    """

    sampler: str
    steps: int
    noise: int = 0
    spacing: Spacing = "trailing"
    back_projection: bool = True

    @property
    def fields(self) -> dict[str, object]:
        """The recipe's fields that say so; its `spacing` is the first stage's."""
        return {
            "stage_steps": self.steps,
            "stage_noise": self.noise,
            "back_projection": self.back_projection,
        }

    def __str__(self) -> str:
        said = [f"noise {self.noise}"] * (self.noise > 0)
        said += [self.spacing] * (self.spacing != "trailing")
        said += ["raw"] * (not self.back_projection)
        return ", ".join([f"{self.sampler} {self.steps}", *said])


_PLAN: Final = re.compile(
    r"(?P<sampler>sde|ode):(?P<steps>\d{1,9})(:(?P<noise>\d{1,9}))?"
    rf"(:(?P<spacing>{'|'.join(get_args(Spacing))}))?(?P<raw>:raw)?",
    re.ASCII,
)

ONE_STEP: Final = StagePlan("ode", 1)
"""The mean that the network expects, and no picture: what regression would give."""


def parse_stage_plan(text: str) -> StagePlan:
    """Parse a plan: "sde:steps" or "ode:steps", and behind it ":noise", ":spacing", ":raw".

    Raises:
        StudioError: If the text is no plan.
    """
    found = _PLAN.fullmatch(text)
    if found is None:
        raise StudioError(
            f"{text!r} doesn't say how a second stage paints.",
            "Write sde:steps or ode:steps, and behind it, if you like, the noise's t, the spacing "
            "and raw, for none of the back-projection: sde:12, or ode:8:30:linspace:raw.",
        )
    spacing = cast("Spacing", found["spacing"] or "trailing")
    noise, projects = int(found["noise"] or 0), not found["raw"]
    return StagePlan(found["sampler"], int(found["steps"]), noise, spacing, projects)


def stage_wish(
    painter: Painter, plans: Sequence[StagePlan], fields: Mapping[str, object]
) -> Recipe:
    """Return the recipe with `fields` that enlarges a model's pictures, after checking it.

    Raises:
        ModelError, RecipeError: If a model can't be used, or the stage can't paint a plan.
    """
    asked = Recipe.checked(fields)
    info = painter.models.describe(asked.model)
    stage = describe_stage(painter.models.find_stage(asked.stage))
    wish = {**fields, "size": RATIO * info.size}
    for plan in plans:
        check_stage(Recipe.checked(wish | plan.fields), info, stage)
    return Recipe.checked(wish)


@dataclass(frozen=True)
class Likeness:
    """Outputs against their originals; decibels are the mean of each picture's own.

    Attributes:
        octaves: The luma's power in each octave, coarsest first, in dB.
        bands: The residual's power in each of the 24 bands, in dB; empty of bicubic pictures.
        spread: The deviation of each band over seeds against the residual's own; likewise.
    """

    octaves: tuple[Interval, ...]
    bands: tuple[Interval, ...] = ()
    spread: tuple[Interval, ...] = ()


@dataclass(frozen=True)
class Outputs:
    """Large pictures as a set, and beside the small ones that they were made from.

    Attributes:
        comparison: With the paintings that none of them was made from, seven eighths as large.
        as_painted: The PSNR of the pictures, once reduced, against the small ones, in dB.
        projected: The same after back-projection.
        colour: How far a picture's mean colour is off, in levels of 255.
        grid: `grid_peak` of four pixels, the blocks that the network paints.
        jpeg: `grid_peak` of a JPEG's blocks in training pictures, 9.1 pixels of the output.
        seconds: The time that painting a picture took.
    """

    comparison: Comparison
    as_painted: Interval
    projected: Interval
    colour: Interval
    grid: Interval
    jpeg: Interval
    seconds: float


@dataclass(frozen=True)
class StageRow:
    """The figures of one way to paint; `plan` is None for bicubic enlargement."""

    plan: StagePlan | None
    likeness: Likeness
    real: Outputs
    samples: Outputs


@dataclass(frozen=True)
class NearestCrops:
    """The largest correlations of a set's crops: their mean, and the largest of all."""

    mean: Interval
    most: float


@dataclass(frozen=True)
class Copying:
    """How near crops of detail come to the nearest of all crops of training pictures.

    Attributes:
        plan: How was painted.
        side: The crops' side, in pixels of the training pictures.
        crops: How many were looked for, in how many `pictures`.
        floor: The largest correlation of paintings' crops, the mean and the `most` of all.
        real: The same of what was painted of their small pictures, and `samples` of samples.
    """

    plan: StagePlan
    side: int
    crops: int
    pictures: int
    floor: NearestCrops
    real: NearestCrops
    samples: NearestCrops


@dataclass(frozen=True)
class StageEvaluation:
    """All that one run measured of a second stage.

    Attributes:
        provenance: What the figures were measured with; its floor says which the others were.
        first_stage: The id of the model that painted the samples, and sha256 of its weights.
        loss: The v loss, weighted by the bands' deviations as in a run's course.
        loss_by_band: The v loss of each band, unweighted, over all t.
        one_step: By how many dB one step from T is nearer to the originals than bicubic.
        one_step_error: The error of that, by band, against the residual's own deviation.
        floor: The small pictures' own paintings against the others.
        floor_grid: `grid_peak` of four pixels in the originals.
        floor_jpeg: `grid_peak` of a JPEG's blocks in the originals.
        edges: The octaves' edges, in cycles an original, and `size`, its side.
        rows: Bicubic enlargement, then each plan.
        copying: How near the first plan's detail comes to training pictures'; None where they
            aren't known.
    """

    provenance: Provenance
    first_stage: tuple[str, str]
    loss: LossFigures
    loss_by_band: tuple[Interval, ...]
    one_step: Interval
    one_step_error: tuple[Interval, ...]
    floor: Comparison
    floor_grid: Interval
    floor_jpeg: Interval
    edges: tuple[float, ...]
    size: int
    rows: tuple[StageRow, ...]
    copying: Copying | None = None


class StageEvaluator:
    """Judges one second stage.

    Args:
        painter: Has the stage and the first stage.
        wish: How the stage paints but for what a plan says: its `stage`, the first stage as
            `model`, `stage_seed`, `precision`.
        pictures: The paintings.
        samples: The first stage's, (N, h, h, 3) uint8.
        style: Whether the style network takes part.

    Raises:
        ModelError: If a model isn't there or can't be used.
        StudioError: If the style network is to take part and isn't installed.
    """

    def __init__(
        self,
        painter: Painter,
        wish: Recipe,
        pictures: StagePictures,
        samples: Pixels,
        *,
        style: bool = True,
    ) -> None:
        self._first = painter.models.load(wish.model)
        self._stage = painter.models.load_stage(wish.stage)
        self._wish, self._seed = wish, wish.stage_seed
        self._pictures, self._samples = pictures, samples
        self._low_res = to_unit(pictures.low_res)
        self._originals = to_unit(pictures.originals)
        self._z = self._stage.bands.of(self._originals - enlarged(self._low_res))
        self._random = RandomNetwork()
        spaces: dict[str, FeatureSpace] = {"style": StyleNetwork()} if style else {}
        self._judge = Judge(pictures.reference, spaces | {"random": self._random}, self._seed)

    def steps(self, plan: StagePlan) -> int:
        """Count the network steps of a plan's row, a batch at a time."""
        counts = (len(self._low_res), len(self._pictures.small), len(self._samples))
        return plan.steps * (sum(-(-count // MAX_PICTURES) for count in counts) + self._spread)

    @property
    def loss_steps(self) -> int:
        """Count the steps of `evaluation`."""
        return loss_batches(len(self._low_res)) + -(-len(self._low_res) // MAX_PICTURES)

    def evaluation(self, step: Step) -> StageEvaluation:
        """Measure what doesn't depend on a plan; its rows are bicubic enlargement alone."""
        loss, by_band = self._loss(step)
        gain, error = self._one_step(step)
        whole, originals = self._pictures.whole, self._pictures.originals
        return StageEvaluation(
            provenance=Provenance(
                model=self._stage.info.id,
                weights=self._stage.weights,
                precision=self._wish.precision,
                random_network=self._random.sha256,
                versions=(("plein-air", __version__), *library_versions()),
                skipped=tuple(one.name for one in self._pictures.skipped),
                floor=f"the paintings themselves; the others: {self._pictures.others}",
            ),
            first_stage=(self._first.info.id, self._first.weights),
            loss=loss,
            loss_by_band=by_band,
            one_step=gain,
            one_step_error=error,
            floor=self._judge.compare(whole),
            floor_grid=self._peak(originals, originals.shape[1] // RATIO),
            floor_jpeg=self._peak(originals, whole.shape[1] // 8),
            edges=enlargement.octave_edges(originals.shape[1]),
            size=originals.shape[1],
            rows=(self.row(None, lambda: None),),
        )

    def row(self, plan: StagePlan | None, step: Step) -> StageRow:
        """Paint by `plan`, or enlarge bicubically without one, and judge what comes."""
        pixels = to_bytes(torch.cat([x for _, x in self._finished(plan, self._low_res, step)]))
        octaves = enlargement.octave_decibels(pixels, self._pictures.originals)
        likeness = Likeness(bootstrap_means(octaves, seed=self._seed))
        if plan:
            z = self._stage.bands.of(to_unit(pixels) - enlarged(self._low_res))
            likeness = Likeness(
                likeness.octaves,
                bootstrap_means(enlargement.band_decibels(z, self._z), seed=self._seed),
                self._spread_of(plan, step),
            )
        real = self._outputs(plan, self._pictures.small, step)
        return StageRow(plan, likeness, real, self._outputs(plan, self._samples, step))

    def copying_steps(self, plan: StagePlan) -> int:
        """Count the steps of `copying`."""
        learned = -(-len(self._pictures.learned) // nearest_crops.BATCH)
        painted = 2 * plan.steps * -(-nearest_crops.CROPS // MAX_PICTURES)
        return painted + learned if learned else 0

    def copying(self, plan: StagePlan, step: Step) -> Copying | None:
        """Look for crops of what is painted by `plan` in the pictures that were learned from."""
        learned, whole = self._pictures.learned, self._pictures.whole
        if not len(learned):
            return None
        size = whole.shape[1]
        side = size * 2 // 7
        sets = [whole[list(evenly_spaced(nearest_crops.CROPS, len(whole)))]]
        for small in (self._pictures.small, self._samples):
            chosen = to_unit(small[list(evenly_spaced(nearest_crops.CROPS, len(small)))])
            x = torch.cat([final for _, final in self._finished(plan, chosen, step)])
            sets.append(resized(to_bytes(x), size))
        crops = [nearest_crops.crops_of(one, side, self._seed) for one in sets]
        found = nearest_crops.nearest_correlations(torch.cat(crops), learned, step)
        floor, real, samples = (
            NearestCrops(self._mean(part), float(part.max()))
            for part in np.split(found, np.cumsum([len(one) for one in crops])[:-1])
        )
        return Copying(plan, side, len(crops[1]), len(learned), floor, real, samples)

    def _outputs(self, plan: StagePlan | None, small: Pixels, step: Step) -> Outputs:
        """Paint `small` (N, h, h, 3) and judge the large pictures."""
        began, low_res = time.monotonic(), to_unit(small)
        painted = list(self._finished(plan, low_res, step))
        seconds = (time.monotonic() - began) / len(small)
        raw, final = (torch.cat(part) for part in zip(*painted, strict=True))
        pixels, side = to_bytes(final), self._pictures.whole.shape[1]
        projected = back_projected(raw, low_res)
        return Outputs(
            comparison=self._judge.compare(resized(pixels, side)),
            as_painted=self._mean(enlargement.consistency(raw, low_res)),
            projected=self._mean(enlargement.consistency(projected, low_res)),
            colour=self._mean(enlargement.colour_offset(final, low_res)),
            grid=self._peak(pixels, pixels.shape[1] // RATIO),
            jpeg=self._peak(pixels, side // 8),
            seconds=seconds,
        )

    def _finished(
        self, plan: StagePlan | None, low_res: Tensor, step: Step
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Enlarge `low_res` in batches: as painted, and as it is judged."""
        for start in range(0, len(low_res), MAX_PICTURES):
            small = low_res[start : start + MAX_PICTURES]
            raw = self._painted(plan, small, start, step) if plan else enlarged(small)
            yield raw, back_projected(raw, small) if plan and plan.back_projection else raw

    def _painted(self, plan: StagePlan, small: Tensor, start: int, step: Step) -> Tensor:
        """Paint `small` (B, 3, h, w) by `plan`; its pictures are number `start` and on."""
        which = {"pictures": len(small), "stage_seed": self._seed + start}
        recipe, sde = self._wish.model_copy(update=plan.fields | which), plan.sampler == "sde"
        given = HandOver(small, recipe.stage_noise)
        for frame in stage_frames(self._stage, recipe, given, sde=sde, spacing=plan.spacing):
            if frame.eps_hat is not None:
                step()
        return enlarged(small) + self._stage.bands.residual(frame.x_t)

    @property
    def _spread(self) -> int:
        return min(SPREAD, len(self._low_res))

    def _spread_of(self, plan: StagePlan, step: Step) -> tuple[Interval, ...]:
        """Paint a few pictures several times each; return each band's deviation over the seeds."""
        variances = []
        for i in range(self._spread):
            small = self._low_res[i : i + 1].expand(SPREAD, -1, -1, -1)
            x = self._painted(plan, small, i * SPREAD, step)
            x = back_projected(x, small) if plan.back_projection else x
            z = self._stage.bands.of(x.clamp(-1, 1) - enlarged(small))
            variances.append(enlargement.variance_over_seeds(z))
        own = enlargement.power(self._z[: self._spread])
        return enlargement.relative_deviation(np.stack(variances), own, self._seed)

    def _one_step(self, step: Step) -> tuple[Interval, tuple[Interval, ...]]:
        """Measure one step's gain over bicubic enlargement, and its error by band."""
        x = torch.cat([raw for raw, _ in self._finished(ONE_STEP, self._low_res, step)])
        bicubic = enlargement.psnr(enlarged(self._low_res), self._originals)
        gain = enlargement.psnr(x, self._originals) - bicubic
        error = enlargement.power(self._stage.bands.of(x - self._originals))
        relative = enlargement.relative_deviation(error, enlargement.power(self._z), self._seed)
        return self._mean(gain), relative

    def _loss(self, step: Step) -> tuple[LossFigures, tuple[Interval, ...]]:
        """Measure the v loss on the originals, in exact precision, the small pictures clean."""
        schedule, denoiser = self._stage.schedule, self._stage.denoiser("exact")
        generator = torch.Generator().manual_seed(self._seed)
        total = schedule.num_train_timesteps
        picture, t = stratified(len(self._z), LOSS_DRAWS, total, generator)
        errors = []
        for i in range(0, len(t), LOSS_BATCH):
            of, now = picture[i : i + LOSS_BATCH], t[i : i + LOSS_BATCH]
            z, shown = self._z[of], Condition(low_res=self._low_res[of], low_res_t=0 * now)
            eps = torch.randn(z.shape, generator=generator)
            z_t, a = q_sample(schedule, z, now, eps), schedule.alpha_bar(now)
            guess = estimate(denoiser.predict(z_t, now, shown), z_t, a, clip=False)
            # v = sqrt(a) eps - sqrt(1 - a) z, so that its error is that of both estimates.
            off = a.sqrt() * (guess.eps_hat - eps) - (1 - a).sqrt() * (guess.x_0_hat - z)
            errors.append(off.square().mean((2, 3)))
            step()
        by_band = torch.cat(errors)
        weight = self._stage.bands.std / self._stage.bands.std.mean()
        loss = HeldOutLoss((by_band * weight).mean(1), t, total)
        each = by_band.view(-1, len(self._z), len(weight)).mean(0).double().numpy()
        figures = loss_figures(loss, len(self._z), seed=self._seed)
        return figures, bootstrap_means(each, seed=self._seed)

    def _mean(self, figures: Floats) -> Interval:
        return bootstrap_mean(figures, seed=self._seed)

    def _peak(self, pictures: Pixels, cycles: int) -> Interval:
        return enlargement.grid_peak(pictures, cycles, seed=self._seed)
