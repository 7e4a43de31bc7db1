"""The configuration of a training run, and its plan: each step's size and learning rate."""

import json
import tomllib
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from app.datasets.labels import LabelConfig, _Strict
from app.diffusion.cascade import RATIO
from app.diffusion.schedule import MAX_T, BetaSchedule, NoiseSchedule
from app.diffusion.seeds import MAX_SEED
from app.errors import StudioError
from app.training.autoencoder_config import AutoencoderConfig, autoencoder_defaults
from app.training.stage_config import StageConfig, stage_defaults

DEFAULT_VLB_WEIGHT: Final = 0.001
"""lambda of the hybrid objective (Nichol & Dhariwal 2021, section 3.1)."""

MAY_CHANGE: Final = frozenset(
    {"data", "held_out", "titles", "latent", "keep", "keep_models", "memory_mb", "precision"}
    | {"accumulate", "save_every", "sample_every", "sample_count", "sample_steps", "snapshot_every"}
)
"""Settings that a resumed run may change: none alters which steps are taken, `precision` and
`accumulate` only their rounding. Fingerprints tell whether the pictures are the same."""

PLAN: Final = frozenset({"phases", "decay_share"})
"""Settings that a resumed run may change as far as they concern steps not yet taken."""


class Phase(_Strict):
    """A stretch of training at one picture size: `views` pictures of `size` x `size` pixels.

    Of a second stage it is the small picture's size. Its views are crops of pictures shrunk to one
    of `sides`, drawn for each; without `sides`, they are whole pictures.
    """

    size: int = Field(ge=8, le=1024)
    views: int = Field(ge=1)
    sides: tuple[int, ...] | None = Field(default=None, min_length=1)

    @property
    def large_sides(self) -> tuple[int, ...]:
        """The sides to which a second stage's pictures are shrunk before they are cropped."""
        return self.sides or (RATIO * self.size,)


class NetworkConfig(_Strict):
    """A UNet2DModel to be trained from scratch; the defaults are the bundled model's.

    Attributes:
        channels: 1 (grey) or 3.
        block_out_channels: The width of each level, from the finest.
        attention: Whether each level attends to itself.
        layers_per_block: Residual blocks of a level on the way down; the way up has one more.
        attention_head_dim: The width of an attention head.
        norm_num_groups: The groups of each group norm.
    """

    channels: Literal[1, 3] = 3
    block_out_channels: tuple[int, ...] = Field(
        default=(32, 64, 160, 256), min_length=2, max_length=8
    )
    attention: tuple[bool, ...] = (False, False, True, True)
    layers_per_block: int = Field(default=1, ge=1, le=8)
    attention_head_dim: int = Field(default=32, ge=1)
    norm_num_groups: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.attention) != len(self.block_out_channels):
            raise ValueError("attention needs one value for each of block_out_channels")
        for width in self.block_out_channels:
            if width < 1 or width % self.norm_num_groups:
                raise ValueError(
                    f"norm_num_groups ({self.norm_num_groups}) doesn't divide the width {width}"
                )
        attending = (w for w, a in zip(self.block_out_channels, self.attention, strict=True) if a)
        for width in (*attending, self.block_out_channels[-1]):  # the middle block always attends
            if width % self.attention_head_dim:
                raise ValueError(
                    f"attention_head_dim ({self.attention_head_dim}) doesn't divide "
                    f"the width {width}"
                )
        return self


class ScheduleConfig(_Strict):
    """The noise schedule of a network that is trained from scratch; the default is the paper's."""

    name: BetaSchedule = "linear"
    num_train_timesteps: int = Field(default=1000, ge=2, le=MAX_T)
    beta_start: float = 1e-4
    beta_end: float = 0.02

    @model_validator(mode="after")
    def _exists(self) -> Self:
        _ = self.schedule
        return self

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule."""
        return NoiseSchedule.named(
            self.name, self.num_train_timesteps, self.beta_start, self.beta_end
        )

    @property
    def remaining_signal(self) -> float:
        """alpha_bar at T: what x_T keeps of the picture, which sampling from noise leaves out."""
        return float(self.schedule.alphas_cumprod[-1])


class TrainConfig(_Strict):
    """Everything that decides how a run goes; docs/training.md has it as a table.

    Attributes:
        data: The folder of pictures, with its sub-folders.
        held_out: A folder of pictures that are never trained on.
        held_out_share: The share of `data` held out instead, chosen by a hash of the name.
        titles: A CSV file with the columns file, artist and title, for the novelty index; without
            it, a picture's title is its file's name.
        init: The model folder to start from; None starts from random weights.
        network: The network to build where there is no `init`.
        schedule: The noise schedule of a network built from `network`.
        prediction: What the network predicts; None is as `init` predicts, or epsilon.
        objective: "simple" is L_simple (Ho et al., eq. 14), "hybrid" L_simple + lambda L_vlb
            with a learned variance (Nichol & Dhariwal 2021, eq. 16).
        vlb_weight: lambda, for "hybrid"; None is 0.001.
        min_snr_gamma: gamma of min-SNR weighting of L_simple (Hang et al. 2023); None is without.
        multiscale_gamma: Up to this SNR the error counts at every scale, down to the mean colour
            (Hoogeboom et al. 2023), and above it less as the SNR grows; None is without.
        labels: Class labels; None trains without.
        stage: How a second stage is trained; None trains a model.
        autoencoder: An autoencoder and how it is trained; None trains a model.
        latent: The folder of the autoencoder in whose latent space a model is trained, or of a
            latent model that has it; None trains on pixels.
        phases: The picture sizes in order, with the number of views at each.
        batch_size: Pictures in a step, over all processes and parts of an accumulated step.
        accumulate: Parts into which each process splits its share of a step, to save memory.
        optimiser: "adamw", or "muon" for the hidden weights and AdamW for the rest.
        learning_rate: The learning rate between warm-up and decay.
        label_learning_rate: That of the classes' embedding, of which a step moves the rows of its
            labels alone; None is as the others'.
        warmup_steps: Steps over which the learning rate rises linearly from nearly 0.
        decay_share: The last share of the run's steps, over which the rate falls to nearly 0.
        beta1: AdamW's decay of the gradient's mean.
        beta2: AdamW's decay of the gradient's square.
        weight_decay: The decay of all weights, decoupled from the gradient.
        gradient_clip: The largest norm of the gradient; None doesn't clip.
        ema_sigma_rels: Relative widths of the power-function EMAs (EDM2), each in (0, 0.28).
        stratified: Whether to draw one timestep from each of `batch_size` equal strata.
        immiscible: Whether to match noise to pictures inside a step (Li et al. 2024).
        flip: Whether to mirror half of the views.
        crop_scale: The smallest share of the area in random-resized crops; 1 doesn't crop.
        fit: How a picture becomes square: cropped to its middle, or squashed.
        min_side: Pictures whose shorter side is smaller are skipped; None is the largest size.
        precision: "fast" computes in bf16 where the processor has it, "exact" in fp32.
        seed: The seed, from which noise, timesteps, order and augmentation of a step derive.
        save_every: Steps between checkpoints, and between held-out losses.
        keep: How many of the newest checkpoints are kept, beside the best by held-out loss.
        sample_every: Steps between sample grids; 0 paints none.
        sample_count: Pictures in a sample grid.
        sample_steps: DPM-Solver++ SDE steps of a sample grid.
        keep_models: Whether the model that painted each sample grid is kept beside the newest.
        snapshot_every: Steps between EMA snapshots that are kept for good; 0 keeps none.
        memory_mb: Pictures that need more than this are kept in memory-mapped files of the run.
    """

    data: str
    held_out: str | None = None
    held_out_share: float | None = Field(default=None, gt=0, lt=1)
    titles: str | None = None
    init: str | None = None
    network: NetworkConfig | None = None
    schedule: ScheduleConfig | None = None
    prediction: Literal["epsilon", "v_prediction"] | None = None
    objective: Literal["simple", "hybrid"] = "simple"
    vlb_weight: float | None = Field(default=None, gt=0)
    min_snr_gamma: float | None = Field(default=None, gt=0)
    multiscale_gamma: float | None = Field(default=None, gt=0)
    labels: LabelConfig | None = None
    stage: StageConfig | None = None
    autoencoder: AutoencoderConfig | None = None
    latent: str | None = None
    phases: tuple[Phase, ...] = Field(
        default=(Phase(size=32, views=150_000), Phase(size=64, views=400_000)), min_length=1
    )
    batch_size: int = Field(default=16, ge=1, le=4096)
    accumulate: int = Field(default=1, ge=1)
    optimiser: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(3e-4, gt=0, le=1)
    label_learning_rate: float | None = Field(default=None, gt=0, le=1)
    warmup_steps: int = Field(default=200, ge=0)
    decay_share: float = Field(default=1 / 3, ge=0, le=1)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.99, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    gradient_clip: float | None = Field(default=1.0, gt=0)
    ema_sigma_rels: tuple[float, ...] = Field(default=(0.05, 0.10), min_length=1, max_length=4)
    stratified: bool = True
    immiscible: bool = False
    flip: bool = True
    crop_scale: float = Field(default=1.0, gt=0, le=1)
    fit: Literal["crop", "squash"] = "crop"
    min_side: int | None = Field(default=None, ge=1)
    precision: Literal["fast", "exact"] = "fast"
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    save_every: int = Field(default=500, ge=1)
    keep: int = Field(default=2, ge=1)
    sample_every: int = Field(default=5000, ge=0)
    sample_count: int = Field(default=16, ge=1, le=256)
    sample_steps: int = Field(default=50, ge=1)
    keep_models: bool = False
    snapshot_every: int = Field(default=5000, ge=0)
    memory_mb: int = Field(default=1024, ge=1)

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        kinds = {"stage": self.stage, "autoencoder": self.autoencoder, "latent": self.latent}
        if len(chosen := [name for name, kind in kinds.items() if kind is not None]) > 1:
            raise ValueError(f"a run trains one thing: give one of {', '.join(chosen)}")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.held_out is not None and self.held_out_share is not None:
            raise ValueError("give held_out or held_out_share, not both")
        if self.init is not None and (self.network or self.schedule):
            raise ValueError("network and schedule are those of init: leave them out")
        if self.objective == "simple" and self.vlb_weight is not None:
            raise ValueError('vlb_weight belongs to objective "hybrid"')
        if self.label_learning_rate and (not self.labels or self.optimiser == "muon"):
            raise ValueError("label_learning_rate needs labels, and AdamW as the optimiser")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate ({self.accumulate}) doesn't divide batch_size ({self.batch_size})"
            )
        if len(set(self.ema_names)) < len(self.ema_names) or not all(
            0 < sigma < 0.28 for sigma in self.ema_sigma_rels
        ):
            raise ValueError("ema_sigma_rels must differ by 0.001 and lie in (0, 0.28)")
        if self.min_side is not None and self.min_side > 100_000:
            raise ValueError(f"min_side is {self.min_side}")
        T = self.schedule.num_train_timesteps if self.schedule else None
        if T is not None and self.sample_steps > T:
            raise ValueError(f"sample_steps ({self.sample_steps}) exceeds T ({T})")
        if self.stage is None and any(phase.sides for phase in self.phases):
            raise ValueError("sides of phases belong to a second stage")
        if self.stage is not None:
            self._check_stage(self.stage)
        if self.autoencoder is not None:
            self._check_autoencoder(self.autoencoder)
        if self.latent is not None:
            others = {
                "crop_scale below 1": self.crop_scale < 1,
                "objective hybrid": self.objective == "hybrid",
                "grey channels": self.network and self.network.channels != NetworkConfig().channels,
            }
            _refuse("a latent model", others)
        return self

    def _check_autoencoder(self, wish: AutoencoderConfig) -> None:
        """Refuse what an autoencoder can't be trained with."""
        for phase in self.phases:
            wish.check_size(phase.size)
        others = {
            "network": self.network,
            "schedule": self.schedule,
            "prediction": self.prediction,
            "labels": self.labels,
            "titles": self.titles,
            "immiscible": self.immiscible,
            "min_snr_gamma": self.min_snr_gamma,
            "multiscale_gamma": self.multiscale_gamma,
            "crop_scale below 1": self.crop_scale < 1,
            "objective hybrid": self.objective == "hybrid",
            "optimiser muon": self.optimiser == "muon",
            f"min_side below {wish.side}": (self.min_side or wish.side) < wish.side,
        }
        _refuse("an autoencoder", others)

    def _check_stage(self, stage: StageConfig) -> None:
        """Refuse what a second stage can't be trained with."""
        for phase in self.phases:
            if any(side < RATIO * phase.size or side % RATIO for side in phase.large_sides):
                raise ValueError(
                    f"crops of {phase.size} small pixels need sides of {RATIO * phase.size} px or "
                    f"more that {RATIO} divides, not {list(phase.large_sides)}"
                )
        largest = max(side for phase in self.phases for side in phase.large_sides)
        if max(largest, stage.held_out_side) > stage.side:
            raise ValueError(
                f"pictures kept at {stage.side} px would have to be enlarged to "
                f"{max(largest, stage.held_out_side)}: choose a larger stage.side"
            )
        if self.network and (self.network.channels != 3 or any(self.network.attention)):
            raise ValueError("a second stage's network has colours, and no attention")
        models = {
            "flip": self.flip,
            "labels": self.labels,
            "titles": self.titles,
            "immiscible": self.immiscible,
            "min_snr_gamma": self.min_snr_gamma,
            "multiscale_gamma": self.multiscale_gamma,
            "crop_scale below 1": self.crop_scale < 1,
            "objective hybrid": self.objective == "hybrid",
            "prediction epsilon": self.prediction == "epsilon",
            f"min_side below {stage.side}": (self.min_side or stage.side) < stage.side,
        }
        _refuse("a second stage", models)

    @classmethod
    def checked(cls, fields: Mapping[str, object]) -> Self:
        """Make a configuration of `fields`, as JSON or TOML would have them.

        Raises:
            StudioError: If a setting is missing, unknown, of a wrong type or out of range, or
                if two contradict each other.
        """
        if fields.get("stage") is not None:
            fields = stage_defaults(begun=fields.get("init") is not None) | dict(fields)
        if fields.get("autoencoder") is not None:
            fields = autoencoder_defaults() | dict(fields)
        try:
            # By way of JSON: only from JSON do strict types take a list for a tuple.
            return cls.model_validate_json(json.dumps(dict(fields)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            what = first["msg"].removeprefix("Value error, ")
            raise StudioError(
                f"The training configuration can't be used: {where + ': ' if where else ''}{what}.",
                "docs/training.md lists the settings.",
            ) from error
        except (TypeError, ValueError) as error:
            raise StudioError(
                f"The training configuration can't be used: {error}.",
                "Give numbers, texts, lists and tables only.",
            ) from error

    def to_json(self) -> str:
        """Return every setting as JSON, defaults too, so that later defaults change nothing."""
        return self.model_dump_json(indent=2)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The picture sizes of all phases, each once, ascending."""
        return tuple(sorted({phase.size for phase in self.phases}))

    @property
    def least_side(self) -> int:
        """The least shorter side of a picture that isn't skipped, in pixels."""
        if self.min_side is not None:
            return self.min_side
        kept = self.stage or self.autoencoder
        return kept.side if kept else self.sizes[-1]

    @property
    def ema_names(self) -> tuple[str, ...]:
        """The name of each EMA in files and metrics, such as "ema-0.050"."""
        return tuple(f"ema-{sigma:.3f}" for sigma in self.ema_sigma_rels)

    @property
    def steps_by_phase(self) -> tuple[int, ...]:
        """The number of steps of each phase: its views divided by the batch size, rounded up."""
        return tuple(-(-phase.views // self.batch_size) for phase in self.phases)

    @property
    def total_steps(self) -> int:
        """The number of steps of the whole run."""
        return sum(self.steps_by_phase)

    def size_at(self, step: int) -> int:
        """Return the side of the pictures of `step`, in pixels.

        Raises:
            IndexError: If the run has no such step.
        """
        return self.phase_at(step).size

    def phase_at(self, step: int) -> Phase:
        """Return the phase that `step` belongs to.

        Raises:
            IndexError: If the run has no such step.
        """
        if not 0 <= step < self.total_steps:
            raise IndexError(f"the run has steps 0 to {self.total_steps - 1}, not {step}")
        ends = accumulate(self.steps_by_phase)
        phases = zip(self.phases, ends, strict=True)
        return next(phase for phase, end in phases if step < end)

    def agrees(self, other: "TrainConfig", steps: int) -> bool:
        """Tell whether a run with `other` has the same first `steps` steps, counted from 0."""

        def plan(config: TrainConfig, step: int) -> tuple[object, ...]:
            phase = config.phase_at(step)
            return phase.size, phase.sides, config.rate_at(step)

        return min(self.total_steps, other.total_steps) >= steps and all(
            plan(self, step) == plan(other, step) for step in range(steps)
        )

    def rate_at(self, step: int) -> float:
        """Return the learning rate of `step`: it rises linearly, stays, then falls to nearly 0.

        The fall is linear: the last step has 1 / (n + 1) of the constant rate, where n steps decay.
        """
        rising = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        decaying = round(self.decay_share * self.total_steps)
        falling = min(1.0, (self.total_steps - step) / (decaying + 1))
        return self.learning_rate * min(rising, falling)

    def differences(self, other: "TrainConfig") -> list[str]:
        """List the settings that differ from `other` and may not change when a run is resumed."""
        return [
            name
            for name in type(self).model_fields
            if name not in MAY_CHANGE and getattr(self, name) != getattr(other, name)
        ]


def _refuse(what: str, settings: Mapping[str, object]) -> None:
    """Refuse those of the `settings`, by name, that are chosen and that `what` can't have."""
    if others := [name for name, chosen in settings.items() if chosen]:
        raise ValueError(f"{what} is trained without {', '.join(others)}")


def read_fields(path: Path) -> dict[str, Any]:
    """Read the settings in a JSON file, or a TOML file if its name says so, not yet checked.

    Raises:
        StudioError: If there is no such file, or the file can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        fields = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise StudioError(
            f"The configuration {path} can't be read: {error}.", "Give a JSON or a TOML file."
        ) from error
    if not isinstance(fields, dict):
        raise StudioError(f"The configuration {path} is no table of settings.", "Give an object.")
    return fields
