"""What a person chooses about a training, and the configuration that it makes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, Self, cast, get_args

from PIL import Image

from app.errors import JobError
from app.service.model_files import ModelFiles
from app.service.sets.ingest import MAX_SIDE
from app.service.sets.store import PictureSet
from app.training.config import TrainConfig
from app.training.material import Found, Source

Preset = Literal["taste", "evening", "long"]
PRESETS: Final[tuple[Preset, ...]] = get_args(Preset)

_STEPS: Final = {"taste": 200, "evening": 10_000, "long": 40_000}
_SAVE_EVERY: Final = {"taste": 50, "evening": 250, "long": 500}
_HELD_OUT: Final = 5
"""Held-out pictures that are expected at least; a smaller set than ten times that has none."""


@dataclass(frozen=True)
class Plan:
    """How a model is to be fine-tuned; docs/training.md explains each setting.

    The variance is learned where the base model learned it.

    Attributes:
        steps: Steps of the run.
        batch_size: Pictures a step.
        learning_rate: Constant after the warm-up, so that a job can be extended at any time.
        ema_sigma_rels: Widths of the averages.
        immiscible: Match noise to pictures.
        labels: Train with the classes of the set; the base model must have as many.
        save_every: Steps between checkpoints.
        sample_every: Steps between sample grids.
        sample_count: Pictures in a grid.
        sample_steps: Their DPM-Solver++ SDE steps.
        held_out_share: The share of the pictures that is measured on; None measures nothing.
        precision: "fast" or "exact".
        seed: All randomness derives from it.
    """

    steps: int
    batch_size: int = 16
    learning_rate: float = 1e-4
    ema_sigma_rels: tuple[float, ...] = (0.05, 0.10)
    immiscible: bool = False
    labels: bool = False
    save_every: int = 250
    sample_every: int = 1_000
    sample_count: int = 16
    sample_steps: int = 30
    held_out_share: float | None = None
    precision: Literal["fast", "exact"] = "fast"
    seed: int = 0

    @classmethod
    def preset(cls, name: str, pictures: int) -> Self:
        """The plan called `name` for a set of so many pictures.

        Raises:
            JobError: If there is none of that name.
        """
        if name not in PRESETS:
            raise JobError(f"There is no preset {name!r}.", f"Choose {', '.join(PRESETS)}.")
        every = _SAVE_EVERY[name]
        share = max(0.05, _HELD_OUT / pictures) if pictures >= 10 * _HELD_OUT else None
        return replace(
            cls(_STEPS[name]),
            save_every=every,
            sample_every=every if name == "taste" else 4 * every,
            held_out_share=share,
        )

    def changed(self, changes: Mapping[str, object]) -> Self:
        """The plan with other settings; whether their values are in range, `config` tells.

        Raises:
            JobError: If there is no setting of that name.
        """
        known = {field.name for field in fields(self)}
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise JobError(f"There is no setting {unknown[0]!r}.", f"Choose {', '.join(known)}.")
        return replace(self, **cast(dict[str, Any], changes))

    def changes(self, other: Self) -> dict[str, object]:
        """The settings that are otherwise than in `other`: with them `changed` makes this plan."""
        mine = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in mine.items() if value != getattr(other, name)}

    def config(self, base: ModelFiles, pictures: PictureSet) -> TrainConfig:
        """The trainer's configuration.

        Raises:
            StudioError: If a setting is out of range, two contradict each other, or the model's
                pictures are larger than any that is kept.
        """
        self._check_counts()
        size: int = base.unet_config["sample_size"]
        _check_side(size)
        if self.labels and not pictures.labels:
            raise JobError(
                "The set of pictures has no classes.", "Upload a zip with a folder for each class."
            )
        if self.sample_every % self.save_every:
            # A trainer that is stopped while it paints may be killed: it must have saved by then.
            raise JobError(
                f"sample_every ({self.sample_every}) is no multiple of save_every "
                f"({self.save_every}).",
                "Make it one.",
            )
        labels = {
            "source": "manifest",
            "manifest": str(pictures.manifest.absolute()),
            "column": "label",
        }
        return TrainConfig.checked({
            "data": str(pictures.pictures.absolute()),
            "init": str(base.folder.absolute()),
            "titles": str(pictures.titles.absolute()),
            "held_out_share": self.held_out_share,
            "objective": "hybrid" if base.learned_variance else "simple",
            "labels": labels if self.labels else None,
            "phases": [{"size": size, "views": self.steps * self.batch_size}],
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "warmup_steps": min(50, self.steps // 4),
            "decay_share": 0,
            "ema_sigma_rels": self.ema_sigma_rels,
            "immiscible": self.immiscible,
            "precision": self.precision,
            "seed": self.seed,
            "save_every": self.save_every,
            "keep": 1,
            "sample_every": self.sample_every,
            "sample_count": self.sample_count,
            "sample_steps": self.sample_steps,
            "keep_models": True,
            "snapshot_every": 0,
        })  # fmt: skip

    def _check_counts(self) -> None:
        for name, least in (
            ("steps", 1),
            ("batch_size", 1),
            ("save_every", 1),
            ("sample_every", 0),
        ):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise JobError(f"{name} is {value!r}.", f"Give a whole number from {least} on.")


def _check_side(size: int) -> None:
    """Refuse a model whose pictures, of `size`, are larger than any that is kept."""
    if size > MAX_SIDE:
        raise JobError(
            f"The model's pictures have {size} px a side, and uploaded ones are kept at "
            f"{MAX_SIDE} px.",
            f"Choose a model of at most {MAX_SIDE} px, or train from a shell with a folder of "
            "pictures: python -m app train.",
        )


def check_sizes(config: TrainConfig, found: Found) -> None:
    """Refuse pictures of which all are smaller than the model's, and would be left out.

    Raises:
        JobError: If none to train on, or none to measure on, is large enough.
    """
    least = config.sizes[-1] if config.min_side is None else config.min_side
    for source, use in ((found.training, "train on"), (found.held_out, "measure on")):
        if source.names and not _has_one_of(source, least):
            raise JobError(
                f"The pictures to {use} are all smaller than {least} pixels, the model's size.",
                "Upload larger pictures, or choose a smaller model.",
            )


def _has_one_of(source: Source, least: int) -> bool:
    return any(_side(source.folder / name) >= least for name in source.names)


def _side(path: Path) -> int:
    """The shorter side of a picture; 0 if it can't be read."""
    try:
        with Image.open(path) as image:
            return min(image.size)
    except OSError:
        return 0


def extended(config: TrainConfig, steps: int) -> TrainConfig:
    """The configuration with `steps` more at the end.

    Raises:
        StudioError: If that is no whole positive number.
    """
    fields = config.model_dump(mode="json")
    fields["phases"][-1]["views"] += steps * config.batch_size
    return TrainConfig.checked(fields)
