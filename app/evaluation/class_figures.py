"""A model with classes: which its samples are of, and whether they show them without copying."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.datasets.labels import LabelConfig, class_names
from app.diffusion.schedule import MAX_T
from app.errors import StudioError
from app.evaluation.judge import NoveltyFigures, novelty_figures
from app.evaluation.probe import ClassProbe, ProbeFigures
from app.images.arrays import Floats
from app.models.files import ModelInfo
from app.novelty.index import Neighbours
from app.training.config import TrainConfig, read_fields

POOLED: Final = "pooled"
EACH: Final = "each"


@dataclass(frozen=True)
class Asked:
    """What the samples of a model with classes are to show, and how hard the class pulls.

    Attributes:
        classes: POOLED, classes in proportion to their pictures; EACH, all by as many samples; a
            class's name, or "any". None is POOLED where the model has classes.
        guidance_scale: As in a recipe, like the others.
        guidance_from: The largest t with guidance.
        guidance_to: The smallest.
    """

    classes: str | None = None
    guidance_scale: float = 1.0
    guidance_from: int = MAX_T
    guidance_to: int = 0


UNGUIDED: Final = Asked()


@dataclass(frozen=True)
class ClassFigures:
    """The figures of the samples of one class.

    Attributes:
        name: The class.
        samples: How many there are.
        probe: How often the class is recognised in them, where real paintings of it are given.
        novelty: How near they come to the training set, where there is an index.
    """

    name: str
    samples: int
    probe: ProbeFigures | None
    novelty: NoveltyFigures | None


def class_counts(
    info: ModelInfo, count: int, classes: str | None
) -> tuple[tuple[int | None, int], ...]:
    """Return which labels `count` samples have, each with how many; of EACH, `count` each.

    Raises:
        RecipeError: If the model has no such class.
    """
    if classes is None and not info.labels:
        return ((None, count),)
    if classes == EACH and info.labels:
        return tuple((label, count) for label in range(len(info.labels)))
    if classes in (POOLED, None) and info.labels:
        weights = np.array(info.label_pictures or [1] * len(info.labels), dtype=np.float64)
        exact = count * weights / weights.sum()
        counts = np.floor(exact).astype(int)
        # What is left goes to those that lost most by rounding.
        counts[np.argsort(counts - exact, kind="stable")[: count - counts.sum()]] += 1
        return tuple((label, int(n)) for label, n in enumerate(counts) if n)
    return ((info.label_of(classes), count),)


def run_labels(path: Path) -> LabelConfig:
    """Read the source of the classes of a run from its settings.

    Raises:
        StudioError: If the file can't be read, is no run's settings, or the run has no classes.
    """
    labels = TrainConfig.checked(read_fields(path)).labels
    if labels is None:
        raise StudioError(f"The run of {path} has no classes.", "Give one with `labels`.")
    return labels


def class_members(config: LabelConfig, files: Sequence[str], info: ModelInfo) -> NDArray[np.bool_]:
    """Return which of the model's classes each of `files` has, (N, K).

    Raises:
        StudioError: If the manifest can't be used, or no picture has any of them.
    """
    named = class_names(config, files)
    members = np.array([[it in named.get(file, ()) for it in info.labels] for file in files])
    if not members.any():
        raise StudioError(
            f"No training picture has a class of {info.id}.",
            "Give the settings of the run that trained it, and its pictures' folder.",
        )
    return members


def class_figures(
    info: ModelInfo,
    labels: NDArray[np.int64],
    *,
    probe: ClassProbe | None,
    features: Floats,
    found: Neighbours | None,
    control: Neighbours | None,
    seed: int,
) -> tuple[ClassFigures, ...]:
    """Judge samples class by class.

    Args:
        info: The model.
        labels: (N,) each sample's class, -1 for "any", which has no figures.
        probe: Recognises the classes, if there is one.
        features: (N, D) the samples' features, for the probe.
        found: The samples' nearest training pictures, where there is an index.
        control: The held-out pictures', likewise.
        seed: The seed of the bootstrap.
    """
    figures = []
    for label in sorted(set(labels.tolist()) - {-1}):
        of = labels == label
        near = None
        if found and control:
            near = novelty_figures(found.of(of), control, seed=seed)
        seen = probe.figures(features[of], label) if probe else None
        figures.append(ClassFigures(info.labels[label], int(of.sum()), seen, near))
    return tuple(figures)
