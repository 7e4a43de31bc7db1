"""The settings of a training that a person chooses, and the configuration made from them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, Self, cast, get_args

from PIL import Image

from app.datasets.ingest import MAX_SIDE
from app.datasets.uploads import PictureSet
from app.errors import JobError
from app.models.files import ModelFiles
from app.training.config import TrainConfig
from app.training.data import Found

Preset = Literal["taste", "evening", "long"]
PRESETS: Final[tuple[Preset, ...]] = get_args(Preset)

_STEPS: Final = {"taste": 200, "evening": 10_000, "long": 40_000}
_SAVE_EVERY: Final = {"taste": 50, "evening": 250, "long": 500}
_SAMPLE_STEPS: Final = 30
_HELD_OUT: Final = 5
"""The least number of held-out pictures; a set smaller than ten times as many holds out none."""


@dataclass(frozen=True)
class TrainingPlan:
    """The settings for fine-tuning a model; docs/training.md explains each of them.

    Those that aren't listed are TrainConfig's. The variance is learned if the base model learned
    it, and the learning rate is constant after the warm-up, so that a job can always be extended.

    Attributes:
        steps: Steps of the run.
        labels: Train with the classes of the set; the base model must have as many classes.
        sample_steps: The steps of a sample grid; None is 30, or all T where there are fewer.
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
    sample_steps: int | None = None
    held_out_share: float | None = None
    precision: Literal["fast", "exact"] = "fast"
    seed: int = 0

    @classmethod
    def preset(cls, name: str, pictures: int) -> Self:
        """Return the preset called `name`, fitted to a set of `pictures` pictures.

        Raises:
            JobError: If there is no preset of that name.
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
        """Return the plan with `changes` made; only `config` checks that values are in range.

        Raises:
            JobError: If there is no setting of that name.
        """
        known = [field.name for field in fields(self)]
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise JobError(f"There is no setting {unknown[0]!r}.", f"Choose {', '.join(known)}.")
        return replace(self, **cast(dict[str, Any], changes))

    def changes(self, other: Self) -> dict[str, object]:
        """Return the settings that differ from `other`; `changed` makes this plan from them."""
        mine = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in mine.items() if value != getattr(other, name)}

    def config(self, base: ModelFiles, pictures: PictureSet) -> TrainConfig:
        """Return the trainer's configuration.

        Raises:
            StudioError: If a setting is out of range, two contradict each other, or the model's
                pictures are larger than uploaded pictures are kept at.
        """
        self._check_counts()
        if base.autoencoder and base.learned_variance:
            raise JobError(
                f"{base.id} diffuses latents, and has learned its variance.",
                "That isn't trained on latents here: choose a model without.",
            )
        size = base.unet_config["sample_size"] * (
            base.autoencoder.factor if base.autoencoder else 1
        )
        if size > MAX_SIDE:
            raise JobError(
                f"The model's pictures have {size} px a side, and uploaded ones are kept at "
                f"{MAX_SIDE} px.",
                f"Choose a model of at most {MAX_SIDE} px, or train from a shell with a folder of "
                "pictures: python -m app train.",
            )
        if self.labels and not pictures.labels:
            raise JobError(
                "The set of pictures has no classes.", "Upload a zip with a folder for each class."
            )
        if self.sample_every % self.save_every:
            # A trainer that is stopped while it paints may be killed, so it must save before.
            raise JobError(
                f"sample_every ({self.sample_every}) is no multiple of save_every "
                f"({self.save_every}).",
                "Make it one.",
            )
        given = asdict(self)
        steps = given.pop("steps")
        if self.sample_steps is None:
            total: int = base.scheduler_config["num_train_timesteps"]
            given["sample_steps"] = min(_SAMPLE_STEPS, total)
        labels = {
            "source": "manifest",
            "manifest": str(pictures.manifest.absolute()),
            "column": "label",
        }
        return TrainConfig.checked(given | {
            "data": str(pictures.pictures.absolute()),
            "init": str(base.folder.absolute()),
            "latent": str(base.folder.absolute()) if base.autoencoder else None,
            "titles": str(pictures.titles.absolute()),
            "objective": "hybrid" if base.learned_variance else "simple",
            "labels": labels if self.labels else None,
            "phases": [{"size": size, "views": steps * self.batch_size}],
            "warmup_steps": min(50, steps // 4),
            "decay_share": 0,
            "keep": 1,
            "keep_models": True,
            "snapshot_every": 0,
        })  # fmt: skip

    def _check_counts(self) -> None:
        leasts = {"steps": 1, "batch_size": 1, "save_every": 1, "sample_every": 0}
        for name, least in leasts.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise JobError(f"{name} is {value!r}.", f"Give a whole number from {least} on.")


def check_sizes(config: TrainConfig, found: Found) -> None:
    """Refuse a set whose pictures are all smaller than the model's, and would be left out.

    Raises:
        JobError: If no picture to train on, or none to measure on, is large enough.
    """
    least = config.least_side
    for source, use in ((found.training, "train on"), (found.held_out, "measure on")):
        sides = (_side(source.folder / name) for name in source.names)
        if source.names and not any(side >= least for side in sides):
            raise JobError(
                f"The pictures to {use} are all smaller than {least} pixels, the model's size.",
                "Upload larger pictures, or choose a smaller model.",
            )


def _side(path: Path) -> int:
    """Return the shorter side of a picture in pixels; 0 if the file can't be read."""
    try:
        with Image.open(path) as image:
            return min(image.size)
    except OSError:
        return 0


def extended(config: TrainConfig, steps: int) -> TrainConfig:
    """Return `config` with `steps` more steps in its last phase.

    Raises:
        StudioError: If that phase's views are then no positive whole number.
    """
    fields = config.model_dump(mode="json")
    fields["phases"][-1]["views"] += steps * config.batch_size
    return TrainConfig.checked(fields)
