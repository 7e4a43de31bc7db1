"""The network that is trained, and what has to be known of it to train and to save it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from app.diffusion.denoiser import Target
from app.diffusion.noise import derived_seed
from app.diffusion.schedule import NoiseSchedule
from app.engine.schedules import SCHEDULES, noise_schedule
from app.errors import StudioError
from app.training.config import NetworkConfig, ScheduleConfig, TrainConfig
from app.training.labels import Classes

_WEIGHTS: Final = 2


@dataclass(frozen=True)
class Architecture:
    """A model without its weights, as JSON can hold it.

    Attributes:
        unet: UNet2DModel's configuration.
        scheduler: DDPMScheduler's configuration.
        labels: The names of its classes; empty where it has none.
        null_label: The label that stands for "any".
    """

    unet: dict[str, Any]
    scheduler: dict[str, Any]
    labels: tuple[str, ...] = ()
    null_label: int | None = None

    @property
    def channels(self) -> int:
        """1 (grey) or 3."""
        return int(self.unet["in_channels"])

    @property
    def learned_variance(self) -> bool:
        """Whether it predicts its variance."""
        return bool(self.unet["out_channels"] == 2 * self.channels)

    @property
    def target(self) -> Target:
        """What the network predicts."""
        return cast(Target, self.scheduler.get("prediction_type", "epsilon"))

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule of its forward process."""
        return noise_schedule(self.scheduler)

    def network(self) -> UNet2DModel:
        """A network without storage for its weights, to be given them."""
        # diffusers notes where it read a model; that folder is nobody else's business.
        config = {name: value for name, value in self.unet.items() if name != "_name_or_path"}
        with torch.device("meta"):
            return cast(UNet2DModel, UNet2DModel.from_config(config))


@dataclass(frozen=True, eq=False)
class Trainee:
    """A model to be trained: its architecture, and a network with weights in fp32."""

    architecture: Architecture
    network: UNet2DModel


def new_trainee(config: TrainConfig, classes: Classes | None) -> Trainee:
    """A network of random weights, which derive from the run's seed.

    Raises:
        StudioError: If diffusers can't build it.
    """
    wish = config.network or NetworkConfig()
    down = ["AttnDownBlock2D" if attends else "DownBlock2D" for attends in wish.attention]
    up = ["AttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(wish.attention)]
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(config.seed, _WEIGHTS))
        try:
            network = UNet2DModel(
                sample_size=config.phases[-1].size,
                in_channels=wish.channels,
                out_channels=wish.channels * (2 if config.objective == "hybrid" else 1),
                block_out_channels=wish.block_out_channels,
                layers_per_block=wish.layers_per_block,
                attention_head_dim=wish.attention_head_dim,
                norm_num_groups=wish.norm_num_groups,
                down_block_types=tuple(down),
                up_block_types=tuple(up),
                num_class_embeds=classes.null_label + 1 if classes else None,
            )
        except (ValueError, TypeError, RuntimeError) as error:
            raise StudioError(f"No such network can be built: {error}.", "Change it.") from error
    architecture = Architecture(
        dict(network.config),
        _scheduler_config(config.schedule or ScheduleConfig(), config),
        classes.names if classes else (),
        classes.null_label if classes else None,
    )
    return Trainee(architecture, network)


def _scheduler_config(schedule: ScheduleConfig, config: TrainConfig) -> dict[str, Any]:
    name = next(theirs for theirs, ours in SCHEDULES.items() if ours == schedule.name)
    scheduler = DDPMScheduler(
        num_train_timesteps=schedule.num_train_timesteps,
        beta_schedule=name,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        prediction_type=config.prediction or "epsilon",
        variance_type="learned_range" if config.objective == "hybrid" else "fixed_small",
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
    uneven = [size for size in config.sizes if size % factor]
    timesteps = model.schedule.num_train_timesteps
    names = classes.names if classes else ()
    return [
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
            "The model learns its variance." * model.learned_variance
            or "The model's variance is fixed, and objective hybrid learns it.",
            'objective "hybrid" needs a model with a learned variance, and such a model needs it.',
        ),
        (
            bool(model.unet.get("num_class_embeds")) != bool(classes)
            or (bool(classes) and tuple(model.labels) != names),
            f"The model's classes are {list(model.labels) or 'none'}, "
            f"the data's {list(names) or 'none'}.",
            "Start from a model with these classes, or from random weights.",
        ),
        (
            config.sample_steps > timesteps,
            f"sample_steps is {config.sample_steps}, and the model has {timesteps} timesteps.",
            "Choose fewer.",
        ),
    ]


def as_fields(architecture: Architecture) -> dict[str, object]:
    """What architecture.json holds."""
    return {
        "unet": architecture.unet,
        "scheduler": architecture.scheduler,
        "labels": list(architecture.labels),
        "null_label": architecture.null_label,
    }


def from_fields(fields: Mapping[str, Any]) -> Architecture:
    """The architecture in an architecture.json."""
    return Architecture(
        fields["unet"], fields["scheduler"], tuple(fields["labels"]), fields["null_label"]
    )
