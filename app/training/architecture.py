"""The network to train, new or from a model's folder, and the model written to a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

import torch
from torch import Tensor, nn

from app.datasets.labels import Classes
from app.diffusion.cascade import BANDS, RATIO, Bands
from app.diffusion.denoiser import Target
from app.diffusion.schedule import SCHEDULES, NoiseSchedule, noise_schedule
from app.diffusion.seeds import derived_seed
from app.errors import StudioError
from app.files import read_json, replaced_folder, sync_below, write_bytes
from app.models.files import ModelFiles
from app.models.loading import load_unet
from app.models.stages import BANDS_FILE, StageFiles
from app.training.config import NetworkConfig, ScheduleConfig, TrainConfig

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

_WEIGHTS: Final = 2

_STAGE_SIDE: Final = 64
"""The side of the small pictures that a new second stage is mostly for, in pixels."""


@dataclass(frozen=True)
class Architecture:
    """A model without its weights, as JSON can hold it.

    Attributes:
        unet: UNet2DModel's configuration.
        scheduler: DDPMScheduler's configuration.
        labels: The names of the model's classes; empty if it has none.
        null_label: The label that stands for "any".
        label_pictures: How many pictures each class is learned from; empty if that isn't known.
        bands: A second stage's bands.json; None for a model, and until it is measured.
    """

    unet: dict[str, Any]
    scheduler: dict[str, Any]
    labels: tuple[str, ...] = ()
    null_label: int | None = None
    bands: dict[str, Any] | None = None
    label_pictures: tuple[int, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an architecture.json, the fields of this class.

        Raises:
            OSError, ValueError, KeyError, TypeError: If the file can't be read.
        """
        fields = read_json(path)
        labels = tuple(fields["labels"])
        null_label, bands = fields["null_label"], fields.get("bands")
        learned_from = tuple(fields.get("label_pictures", ()))
        return cls(fields["unet"], fields["scheduler"], labels, null_label, bands, learned_from)

    @property
    def is_stage(self) -> bool:
        """Tell whether this is a second stage."""
        return bool(self.unet["in_channels"] > self.unet["out_channels"])

    @property
    def channels(self) -> int:
        """The channels of x_t: 1 (grey) or 3, or a second stage's bands."""
        return BANDS if self.is_stage else int(self.unet["in_channels"])

    @property
    def stage_bands(self) -> Bands:
        """A second stage's bands.

        Raises:
            ValueError: If this is a model, or they aren't measured yet.
        """
        if self.bands is None:
            raise ValueError("there are no bands")
        return Bands(torch.tensor(self.bands["std"]))

    @property
    def learned_variance(self) -> bool:
        """Tell whether the model learns its variance."""
        return bool(self.unet["out_channels"] == 2 * self.channels)

    @property
    def target(self) -> Target:
        """The quantity that the network predicts."""
        return cast(Target, self.scheduler.get("prediction_type", "epsilon"))

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule of the model's forward process."""
        return noise_schedule(self.scheduler)

    def network(self) -> UNet2DModel:
        """Build the network on the meta device: its weights get storage when they are loaded."""
        from diffusers.models.unets.unet_2d import UNet2DModel

        # diffusers notes which folder it read a model from; that folder is private.
        config = {name: value for name, value in self.unet.items() if name != "_name_or_path"}
        with torch.device("meta"):
            return cast(UNet2DModel, UNet2DModel.from_config(config))


@dataclass(frozen=True, eq=False)
class InitialModel:
    """A model to be trained: its architecture, and a network with weights in fp32."""

    architecture: Architecture
    network: UNet2DModel


def new_initial_model(config: TrainConfig, classes: Classes | None) -> InitialModel:
    """Build a network of random weights, which derive from the run's seed.

    Raises:
        StudioError: If diffusers can't build the network.
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    wish = config.network or NetworkConfig()
    channels: dict[str, Any] = {
        "in_channels": wish.channels,
        "out_channels": wish.channels * (2 if config.objective == "hybrid" else 1),
        "num_class_embeds": classes.null_label + 1 if classes else None,
    }
    if config.stage is not None:
        channels = {"in_channels": BANDS + 3, "out_channels": BANDS}
        channels |= {"class_embed_type": "timestep", "add_attention": False}
    down = ["AttnDownBlock2D" if attends else "DownBlock2D" for attends in wish.attention]
    up = ["AttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(wish.attention)]
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(config.seed, _WEIGHTS))
        try:
            network = UNet2DModel(
                sample_size=_STAGE_SIDE if config.stage else config.phases[-1].size,
                block_out_channels=wish.block_out_channels,
                layers_per_block=wish.layers_per_block,
                attention_head_dim=wish.attention_head_dim,
                norm_num_groups=wish.norm_num_groups,
                down_block_types=tuple(down),
                up_block_types=tuple(up),
                **channels,
            )
        except (ValueError, TypeError, RuntimeError) as error:
            raise StudioError(f"No such network can be built: {error}.", "Change it.") from error
    if config.stage is not None:  # it begins with bicubic enlargement
        nn.init.zeros_(network.conv_out.weight), nn.init.zeros_(cast(Tensor, network.conv_out.bias))
    architecture = Architecture(
        dict(network.config),
        _scheduler_config(config.schedule or ScheduleConfig(), config),
        classes.names if classes else (),
        classes.null_label if classes else None,
        label_pictures=classes.pictures if classes else (),
    )
    return InitialModel(architecture, network)


def grown(initial: InitialModel, config: TrainConfig, classes: Classes | None) -> InitialModel:
    """Give a model the `classes` and the learned variance that it is to be trained with.

    What it has already stays. The classes' embedding begins at zero and so does the variance's
    output, halfway between the two bounds in logarithms (Nichol & Dhariwal 2021, eq. 15): before
    its first step a model predicts what it did.
    """
    model, network = initial.architecture, cast(nn.Module, initial.network)
    unet, scheduler = dict(model.unet), dict(model.scheduler)
    if classes and not unet.get("num_class_embeds"):
        unet["num_class_embeds"] = classes.null_label + 1
        names, null_label = classes.names, classes.null_label
        model = replace(model, labels=names, null_label=null_label, label_pictures=classes.pictures)
    if config.objective == "hybrid" and not model.learned_variance:
        unet["out_channels"] = 2 * model.channels
        scheduler["variance_type"] = "learned_range"
    if unet == model.unet:
        return initial
    model = replace(model, unet=unet, scheduler=scheduler)
    larger: nn.Module = model.network()
    weights = {name: torch.zeros(weight.shape) for name, weight in larger.state_dict().items()}
    for name, weight in network.state_dict().items():
        weights[name][: len(weight)] = weight
    larger.load_state_dict(weights, assign=True)
    return InitialModel(model, cast("UNet2DModel", larger))


def _scheduler_config(schedule: ScheduleConfig, config: TrainConfig) -> dict[str, Any]:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    name = next(theirs for theirs, ours in SCHEDULES.items() if ours == schedule.name)
    scheduler = DDPMScheduler(
        num_train_timesteps=schedule.num_train_timesteps,
        beta_schedule=name,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        prediction_type=config.prediction or "epsilon",
        variance_type="learned_range" if config.objective == "hybrid" else "fixed_small",
        clip_sample=config.stage is None,
    )
    return dict(scheduler.config)


def check_architecture(
    architecture: Architecture, config: TrainConfig, classes: Classes | None
) -> None:
    """Refuse a model that can't be trained as `config` says.

    Raises:
        StudioError: If sizes, prediction, variance or classes don't fit.
    """
    for wrong, message, hint in _misfits(architecture, config, classes):
        if wrong:
            raise StudioError(message, hint)


def _misfits(
    model: Architecture, config: TrainConfig, classes: Classes | None
) -> list[tuple[bool, str, str]]:
    factor = 2 ** (len(model.unet["block_out_channels"]) - 1)
    sizes = config.sizes
    if config.stage is not None:
        sizes = (*sizes, config.stage.held_out_side // RATIO)
    uneven = [size for size in sizes if size % factor]
    timesteps = model.schedule.num_train_timesteps
    names = classes.names if classes else ()
    return [
        (
            model.is_stage != (config.stage is not None),
            "The model is a second stage." * model.is_stage or "The model is no second stage.",
            "A second stage is trained with the settings `stage`, and a model without.",
        ),
        (
            model.is_stage and model.target != "v_prediction",
            f"The second stage predicts {model.target}, not v.",
            "Start from a stage that predicts v, or from random weights.",
        ),
        (
            bool(uneven),
            f"The network halves its pictures to 1/{factor}: it can't take {uneven} px.",
            f"Choose sizes that {factor} divides.",
        ),
        (
            config.prediction not in (None, model.target) or model.target == "sample",
            f"The model predicts {model.target}, not {config.prediction or 'epsilon or v'}.",
            "Leave `prediction` out, or start from a model that predicts epsilon or v.",
        ),
        (
            model.learned_variance != (config.objective == "hybrid"),
            "The model learns its variance.",
            'Such a model needs objective "hybrid".',
        ),
        (
            bool(model.unet.get("num_class_embeds")) != bool(classes)
            or (bool(classes) and tuple(model.labels) != names),
            f"The model's classes are {list(model.labels) or 'none'}, "
            f"the data's {list(names) or 'none'}.",
            "Start from a model with these classes or with none, or from random weights.",
        ),
        (
            config.sample_steps > timesteps,
            f"sample_steps is {config.sample_steps}, and the model has {timesteps} timesteps.",
            "Choose fewer.",
        ),
    ]


def export_model(
    folder: Path,
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    *,
    size: int,
    half: bool = False,
) -> None:
    """Write a whole model, or nothing, to `folder`, which mustn't exist.

    DDPMPipeline loads a model, and app.models.stages a second stage.

    Args:
        folder: The folder to write.
        architecture: The model without its weights.
        weights: The weights, by the names of diffusers' state_dict.
        size: The side of the model's pictures in pixels; a second stage keeps its own.
        half: Whether to store the weights in fp16.

    Raises:
        OSError: If the model can't be written.
    """
    from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    network = architecture.network()
    module: nn.Module = network
    dtype = torch.float16 if half else torch.float32
    plain = {name: value.detach().cpu().to(dtype).contiguous() for name, value in weights.items()}
    module.load_state_dict(plain, assign=True)
    scheduler = DDPMScheduler.from_config(architecture.scheduler)
    if not architecture.is_stage:
        network.register_to_config(sample_size=size)
    with replaced_folder(folder) as temporary:
        if architecture.is_stage:
            network.save_pretrained(temporary / "unet")
            scheduler.save_pretrained(temporary / "scheduler")
            bands = json.dumps(architecture.bands, indent=2).encode()
            write_bytes(temporary / BANDS_FILE, bands)
        else:
            DDPMPipeline(network, scheduler).save_pretrained(temporary)
        if architecture.labels:
            labels = {
                "labels": list(architecture.labels),
                "null_label": architecture.null_label,
                "pictures": list(architecture.label_pictures) or None,
            }
            write_bytes(temporary / "labels.json", json.dumps(labels, indent=2).encode())
        sync_below(temporary)


def load_initial_model(files: ModelFiles) -> InitialModel:
    """Load the model in `files`, its weights in fp32 even if they are stored in fp16.

    Raises:
        ModelError: If the model's files are missing, broken, or no DDPM's, or its weights have
            NaN or infinity, which training would only spread.
    """
    architecture, unet = architecture_of(files), load_unet(files)
    for name, weights in unet.named_parameters():
        if not bool(weights.isfinite().all()):
            raise files.error(
                f"its weights have NaN or infinity, in {name}",
                "Copy them again, or choose another.",
            )
    return InitialModel(architecture, unet)


def architecture_of(files: ModelFiles) -> Architecture:
    """Read the model in `files` without its weights.

    Raises:
        ModelError: If the model's configurations are missing, broken, or no DDPM's.
    """
    labels = files.labels
    return Architecture(
        files.unet_config,
        files.scheduler_config,
        tuple(labels.labels) if labels else (),
        labels.null_label if labels else None,
        files.bands.model_dump() if isinstance(files, StageFiles) else None,
        tuple(labels.pictures or ()) if labels else (),
    )
