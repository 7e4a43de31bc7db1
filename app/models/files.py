"""A model folder in diffusers' DDPM layout, read and checked before any weight is loaded.

Two layouts are known: `unet/` and `scheduler/` beside model_index.json, which diffusers writes
today, and everything in one folder, which the first models on the Hub have. A latent model's layout
is that of diffusers' LDMPipeline: the first, with an autoencoder in `vqvae/`.
"""

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from app.diffusion.denoiser import TARGETS
from app.diffusion.schedule import MAX_T, SCHEDULES
from app.diffusion.variance import VarianceName
from app.errors import RecipeError
from app.models.autoencoders import PARTS, AutoencoderFiles
from app.models.classes import class_number
from app.models.fields import (
    GUIDANCE_FIELDS,
    MAX_SIDE,
    AnalyticFields,
    LabelFields,
    NetworkFields,
    ScheduleFields,
)
from app.models.network_files import CHECKSUMS, NetworkFiles
from app.models.schedulers import TRAINED_AS_DDPM, check_followed, with_defaults
from app.models.step_schedules import STEP_SCHEDULES, SchedulesFields, StepSchedule

FOLDER_NAME: Final = r"\w[\w .-]*"
"""The names of folders that can be models: a recipe and a link name a model by its folder's."""

MAX_NAME: Final = 161
"""The longest such name in bytes, which leaves room for the rest of a picture's file name."""

ANALYTIC: Final = "analytic.json"
"""The file beside a model with its analytic variances."""

STAMPED: Final = ("*.json", "*.safetensors", CHECKSUMS)
Stamp = tuple[tuple[str, int, int, int], ...]
"""Of each file its path, size in bytes, time of writing in ns, and inode."""


def can_name(folder: str) -> bool:
    """Tell whether a folder of this name can be a model."""
    return bool(re.fullmatch(FOLDER_NAME, folder)) and len(folder.encode()) <= MAX_NAME


@dataclass(frozen=True, eq=False)
class ModelFiles(NetworkFiles):
    """A model folder: its id, where its parts lie, and what its configurations say.

    Its network's weights are `weights_files`; what is told of the model as a whole, as its
    checksums and its number of weights, is of its autoencoder's too, where it has one.

    Raises:
        ModelError: By each property, if the files it needs are missing, broken, or no DDPM's.
    """

    @cached_property
    def stamp(self) -> Stamp:
        """What shows on the disk that a file was replaced: weights, configurations, an index."""
        parts = sorted({self.folder, *map(self._part, ("unet", "scheduler", *PARTS))})
        found = []
        for path in sorted(it for part in parts for name in STAMPED for it in part.glob(name)):
            with suppress(FileNotFoundError):  # It has just been taken away.
                stat = path.stat()
                found.append((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino))
        return tuple(found)

    @cached_property
    def network_folder(self) -> Path:
        """The folder with the network's config.json."""
        return self._part("unet")

    @cached_property
    def unet_config(self) -> dict[str, Any]:
        """The network's config.json, of a UNet2DModel with the channels that it needs here."""
        self._check_pipeline()
        config = self._read_json(self.network_folder / "config.json")
        if config.get("_class_name") != "UNet2DModel":
            raise self.error(
                f"its network is a {config.get('_class_name', 'thing without a class name')}",
                "Plein Air paints with unconditional DDPMs, whose network is a UNet2DModel.",
            )
        fields = self._checked(NetworkFields, config, "config.json")
        if fields.time_embedding_type == "fourier":
            raise self.error(
                "its network takes the logarithm of a noise level, not a timestep",
                "Plein Air's models have a time_embedding_type of positional or learned.",
            )
        self._check_network(fields)
        return config | {"sample_size": fields.sample_size}

    @cached_property
    def autoencoder(self) -> AutoencoderFiles | None:
        """The autoencoder in whose latent space the model diffuses; None where it has none."""
        name = next((it for it in PARTS if it in self._pipeline_parts), None)
        if name is None:
            return None
        if not (self.folder / name).is_dir():
            raise self.error(
                f"it has no folder {name!r}, its autoencoder's", "Copy the whole folder again."
            )
        return AutoencoderFiles(self.id, self.folder / name)

    @property
    def latent(self) -> "LatentInfo | None":
        """The latent space that the model diffuses in; None where that is pictures."""
        unet, of = self.unet_config, self.autoencoder
        if of is None:
            return None
        return LatentInfo(unet["in_channels"], unet["sample_size"], of.factor, of.scaling_factor)

    @cached_property
    def _pipeline_parts(self) -> frozenset[str]:
        """The parts that model_index.json names."""
        index = self.folder / "model_index.json"
        parts = self._read_json(index) if index.is_file() else {}
        named = (name for name, it in parts.items() if isinstance(it, list) and any(it))
        return frozenset(named) - {"_class_name"}

    def _check_pipeline(self) -> None:
        others = self._pipeline_parts - {"unet", "scheduler"}
        if self.autoencoder:
            others -= {self.autoencoder.folder.name}
        if others:
            raise self.error(
                f"its pipeline has a part called {min(others)!r}",
                "Plein Air paints with models that have a unet, a scheduler, and at most an "
                "autoencoder.",
            )

    def _check_network(self, fields: NetworkFields) -> None:
        channels = fields.in_channels
        if self.autoencoder:
            self._check_latents(fields, self.autoencoder)
        elif channels not in (1, 3):
            raise self.error("its network has no picture's channels", "It takes 1 or 3 channels.")
        if fields.out_channels not in (channels, 2 * channels):
            raise self.error(
                f"its network makes {fields.out_channels} channels of {channels}",
                "Plein Air's models give as many as they take, or twice as many.",
            )
        if fields.class_embed_type is not None:
            raise self.error(
                f"its network takes classes by a {fields.class_embed_type!r} embedding",
                "Plein Air's models have a table of classes, or none.",
            )
        factor = 2**fields.halvings
        if fields.sample_size % factor:
            raise self.error(
                f"its network can't take its own pictures: {fields.sample_size} px can't be "
                f"halved {fields.halvings} times",
                f"In its config.json sample_size must be a multiple of {factor}.",
            )

    def _check_latents(self, fields: NetworkFields, autoencoder: AutoencoderFiles) -> None:
        channels, side = autoencoder.latent_channels, fields.sample_size * autoencoder.factor
        if fields.in_channels != channels:
            raise self.error(
                f"its network takes {fields.in_channels} channels, and its autoencoder's latents "
                f"have {channels}",
                "Copy the whole model folder again.",
            )
        if side > MAX_SIDE:
            raise self.error(
                f"its pictures have {side:,} px a side, {autoencoder.factor} times a latent's",
                f"Plein Air paints up to {MAX_SIDE:,} px.",
            )

    @property
    def learned_variance(self) -> bool:
        """Tell whether the network predicts its variance."""
        return bool(self.unet_config["out_channels"] == 2 * self.unet_config["in_channels"])

    @cached_property
    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler_config.json with its class's defaults, checked for what is followed."""
        config = self._read_json(self._part("scheduler") / "scheduler_config.json")
        try:
            config = with_defaults(config)
        except ValueError as error:
            raise self.error(
                str(error), f"Plein Air knows the process of: {', '.join(TRAINED_AS_DDPM)}."
            ) from error
        fields = self._checked(ScheduleFields, config, "scheduler_config.json")
        if fields.beta_schedule not in SCHEDULES:
            raise self.error(
                f"its beta_schedule is {fields.beta_schedule!r}",
                f"Known schedules: {', '.join(SCHEDULES)}.",
            )
        if fields.prediction_type not in TARGETS:
            raise self.error(
                f"its prediction_type is {fields.prediction_type!r}",
                f"Known ones: {', '.join(TARGETS)}.",
            )
        try:
            check_followed(config, learned_variance=self.learned_variance)
        except ValueError as error:
            raise self.error(
                f"{error}, which Plein Air doesn't follow",
                "If the network was trained without it, leave it out of the file.",
            ) from error
        return config

    @cached_property
    def labels(self) -> LabelFields | None:
        """The classes, from labels.json where there is one, else numbered; None without any."""
        count = self.unet_config.get("num_class_embeds")
        if not count:
            return None
        path = self.folder / "labels.json"
        if not path.exists():
            return LabelFields(labels=[f"class {i}" for i in range(count)])
        table = self._checked(LabelFields, self._read_json(path), "labels.json")
        pictures = table.labels if table.pictures is None else table.pictures
        fits = len(table.labels) == len(pictures) and len(table.labels) <= count
        if not fits or (table.null_label or 0) >= count:
            raise self.error("its labels.json doesn't fit its network", "See docs/models.md.")
        return table

    @cached_property
    def analytic(self) -> tuple[float, ...]:
        """The mean square of eps_hat at each of the T timesteps, from analytic.json."""
        found = self._checked(AnalyticFields, self._read_json(self.folder / ANALYTIC), ANALYTIC)
        fits = len(found.eps_square) == self.scheduler_config["num_train_timesteps"]
        if not fits or found.weights != self.weights_sha256:
            raise self.error(
                f"its {ANALYTIC} is of other weights, or of another schedule",
                f"Estimate it again: python -m app variances {self.id} --data PICTURES.",
            )
        return tuple(found.eps_square)

    @cached_property
    def schedules(self) -> tuple[StepSchedule, ...]:
        """The steps that were searched for, from schedules.json; none without it.

        For which weights is not looked at here, for that takes reading them; `schedule` does.
        """
        path = self.folder / STEP_SCHEDULES
        if not path.is_file():
            return ()
        found = self._checked(SchedulesFields, self._read_json(path), STEP_SCHEDULES).read
        for it in found:
            if it.step_t[0] > self.scheduler_config["num_train_timesteps"]:
                raise self.error(
                    f"in its {STEP_SCHEDULES}, {it.name!r} begins at t = {it.step_t[0]}, beyond T",
                    "Mend that file, or take it away.",
                )
        return found

    def schedule(self, name: str) -> StepSchedule:
        """Return the schedule of that name, of these weights.

        Raises:
            RecipeError: If there is none, or it is of other weights.
        """
        known = {it.name: it for it in self.schedules}
        if name not in known:
            raise RecipeError(
                f"{self.id} has no schedule {name!r}.",
                f"Choose one of: {', '.join(known)}."
                if known
                else f"Search for one: python -m app search-steps {self.id} --data PICTURES.",
            )
        if known[name].weights != self.weights_sha256:
            raise RecipeError(
                f"The schedule {name!r} of {self.id} is of other weights.",
                f"Search again: python -m app search-steps {self.id} --data PICTURES.",
            )
        return known[name]

    @cached_property
    def checksums(self) -> str:
        """The lines of a SHA256SUMS of the weights, checked against the folder's where it is."""
        lines = []
        for path in self.all_weights_files:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{found}  {path.relative_to(self.folder).as_posix()}")
        sums = self.folder / CHECKSUMS
        if sums.exists() and set(lines) - set(sums.read_text(encoding="utf-8").splitlines()):
            raise self.error(
                f"its weights are not those that {CHECKSUMS} names",
                "They changed or were damaged; copy the model folder again.",
            )
        return "".join(f"{line}\n" for line in lines)

    @property
    def all_weights_files(self) -> tuple[Path, ...]:
        """The weights files of the network, and of the autoencoder where there is one."""
        return self.weights_files + (self.autoencoder.weights_files if self.autoencoder else ())

    @property
    def num_parameters(self) -> int:
        """The number of weights."""
        return super().num_parameters + (self.autoencoder.num_parameters if self.autoencoder else 0)

    @property
    def weights_bytes(self) -> int:
        """The bytes of the weights on the disk."""
        return super().weights_bytes + (self.autoencoder.weights_bytes if self.autoencoder else 0)

    @property
    def weights_sha256(self) -> str:
        """The sha256 of the weights file; of several, that of their `checksums`."""
        if len(self.all_weights_files) > 1:
            return hashlib.sha256(self.checksums.encode()).hexdigest()
        return self.checksums.partition(" ")[0]

    def _part(self, name: str) -> Path:
        nested = self.folder / name
        return nested if nested.is_dir() else self.folder


@dataclass(frozen=True)
class LatentInfo:
    """A latent space that a model diffuses in, instead of the space of its pictures.

    Attributes:
        channels: The channels of a latent.
        side: Its side.
        factor: How many times larger than that its picture's side is.
        scaling_factor: By what the autoencoder's latents are multiplied before diffusion.
    """

    channels: int
    side: int
    factor: int
    scaling_factor: float


@dataclass(frozen=True)
class ModelInfo:
    """What a person is told about a model before it is loaded.

    Attributes:
        id: Its name, the same as its folder's.
        size: The side of its pictures in pixels.
        channels: Those of its pictures, 1 (grey) or 3.
        parameters: The number of its weights.
        num_train_timesteps: T, the number of timesteps.
        labels: The names of its classes; empty where it has none.
        null_label: The label that stands for "any", which is painted where no class is asked for;
            without one a class must be, and it can't be guided.
        learned_variance: Whether it predicts its variance.
        analytic_variance: Whether its analytic variances were estimated.
        name: What its owner calls it, if anything; else it goes by its id.
        label_pictures: How many pictures each class was learned from; empty if that isn't known.
        latent: The latent space that it diffuses in; None where it diffuses pictures.
        guidance_scale: How hard a class should pull, by whoever made the model; 1 is not at all.
        guidance_from: The largest t at which it should.
        guidance_to: The smallest.
        schedules: Steps that were searched for, perhaps for other weights.
    """

    id: str
    size: int
    channels: int
    parameters: int
    num_train_timesteps: int
    labels: tuple[str, ...]
    null_label: int | None
    learned_variance: bool
    name: str = ""
    label_pictures: tuple[int, ...] = ()
    analytic_variance: bool = False
    latent: LatentInfo | None = None
    guidance_scale: float = 1.0
    guidance_from: int = MAX_T
    guidance_to: int = 0
    schedules: tuple[StepSchedule, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of x_t: a picture's, or a latent's."""
        of = self.latent
        return (of.channels, of.side, of.side) if of else (self.channels, self.size, self.size)

    def has_variance(self, name: VarianceName) -> bool:
        """Tell whether the model's steps can have a variance."""
        own = {"learned": self.learned_variance, "analytic": self.analytic_variance}
        return own.get(name, True)

    def require_variance(self, name: VarianceName) -> None:
        """Check that the model's steps can have a variance.

        Raises:
            RecipeError: If they can't.
        """
        if self.has_variance(name):
            return
        if name == "learned":
            raise RecipeError(
                f"{self.id} did not learn its variance.", "Choose a fixed one for it."
            )
        raise RecipeError(
            f"The analytic variances of {self.id} were never estimated.",
            f"Run python -m app variances {self.id} --data PICTURES, or choose a fixed one.",
        )

    @property
    def some_label(self) -> int | None:
        """A label to ask for where it doesn't matter: none, or the first where one is needed."""
        return 0 if self.labels and self.null_label is None else None

    def label_of(self, asked: int | str | None) -> int | None:
        """Return the number of the class that is `asked` for by number or name; None for "any".

        Raises:
            RecipeError: If the model can't be asked for it: it says what it can be asked for.
        """
        has_any = self.null_label is not None
        return class_number(self.id, self.labels, asked, has_any=has_any)

    @property
    def summary(self) -> str:
        """The model in one line: "impressionist-64 · 64 px · 12.0 M"."""
        space = ", latent" if self.latent else ""
        return f"{self.name or self.id} · {self.size} px{space} · {self.parameters / 1e6:.1f} M"


def describe(files: ModelFiles) -> ModelInfo:
    """Describe a model by its configurations and its weights' header.

    Raises:
        ModelError: If they are missing, broken, or not a DDPM's.
    """
    unet, labels, of = files.unet_config, files.labels, files.autoencoder
    guidance = labels.model_dump(include={*GUIDANCE_FIELDS}) if labels else {}
    return ModelInfo(
        id=files.id,
        size=unet["sample_size"] * (of.factor if of else 1),
        channels=of.channels if of else unet["in_channels"],
        parameters=files.num_parameters,
        num_train_timesteps=files.scheduler_config["num_train_timesteps"],
        labels=tuple(labels.labels) if labels else (),
        null_label=labels.null_label if labels else None,
        label_pictures=tuple(labels.pictures or ()) if labels else (),
        learned_variance=files.learned_variance,
        analytic_variance=(files.folder / ANALYTIC).is_file(),
        latent=files.latent,
        schedules=files.schedules,
        **guidance,
    )
