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
from app.models.autoencoders import AutoencoderFields, AutoencoderFiles, load_autoencoder
from app.models.files import ModelFiles
from app.models.loading import load_unet
from app.models.stages import BANDS_FILE, StageFiles
from app.networks.training_autoencoder import TrainableAutoencoder
from app.networks.training_unet import make_trainable
from app.training.autoencoder_config import AutoencoderConfig
from app.training.config import NetworkConfig, ScheduleConfig, TrainConfig

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
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
        vqvae: The configuration of an autoencoder, which has neither unet nor scheduler, or of that
            of a latent model, which has all three; None for any other.
    """

    unet: dict[str, Any]
    scheduler: dict[str, Any]
    labels: tuple[str, ...] = ()
    null_label: int | None = None
    bands: dict[str, Any] | None = None
    label_pictures: tuple[int, ...] = ()
    vqvae: dict[str, Any] | None = None

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
        parts = fields["unet"], fields["scheduler"]
        return cls(*parts, labels, null_label, bands, learned_from, fields.get("vqvae"))

    @property
    def is_autoencoder(self) -> bool:
        """Tell whether this is an autoencoder alone."""
        return self.vqvae is not None and not self.unet

    @property
    def factor(self) -> int:
        """How many times smaller x_t's side is than its picture's: 1 but for a latent model."""
        return 1 if self.vqvae is None else AutoencoderFields.model_validate(self.vqvae).factor

    @property
    def is_stage(self) -> bool:
        """Tell whether this is a second stage."""
        return bool(self.unet and self.unet["in_channels"] > self.unet["out_channels"])

    @property
    def channels(self) -> int:
        """The channels of x_t: 1 (grey) or 3, a second stage's bands, or a latent's."""
        return BANDS if self.is_stage else int(self.unet["in_channels"])

    @property
    def picture_channels(self) -> int:
        """The channels of pictures: 1 (grey) or 3."""
        if self.vqvae is not None:
            return int(self.vqvae["in_channels"])
        return 3 if self.is_stage else self.channels

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

    def network(self) -> UNet2DModel | AutoencoderKL:
        """Build the network on the meta device: its weights get storage when they are loaded."""
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
        from diffusers.models.unets.unet_2d import UNet2DModel

        if self.is_autoencoder:
            with torch.device("meta"):
                return cast(AutoencoderKL, AutoencoderKL.from_config(self.vqvae))

        # diffusers notes which folder it read a model from; that folder is private.
        config = {name: value for name, value in self.unet.items() if name != "_name_or_path"}
        with torch.device("meta"):
            return cast(UNet2DModel, UNet2DModel.from_config(config))


@dataclass(frozen=True, eq=False)
class InitialModel:
    """A model to be trained: its architecture, and a network with weights in fp32."""

    architecture: Architecture
    network: UNet2DModel | AutoencoderKL

    def trainable(self) -> nn.Module:
        """Return the network, which is taken over, arranged to be trained faster."""
        if self.architecture.is_autoencoder:
            return TrainableAutoencoder(cast("AutoencoderKL", self.network))
        return make_trainable(cast("UNet2DModel", self.network))


def new_initial_model(
    config: TrainConfig, classes: Classes | None, vqvae: AutoencoderFiles | None = None
) -> InitialModel:
    """Build a network of random weights, which derive from the run's seed.

    Args:
        config: The run's settings.
        classes: The classes that it is to know.
        vqvae: The autoencoder in whose latent space it is to work.

    Raises:
        StudioError: If diffusers can't build the network.
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    if config.autoencoder is not None:
        return _new_autoencoder(config, config.autoencoder)
    wish = config.network or NetworkConfig()
    channels: dict[str, Any] = {
        "in_channels": wish.channels,
        "out_channels": wish.channels * (2 if config.objective == "hybrid" else 1),
        "num_class_embeds": classes.null_label + 1 if classes else None,
    }
    if vqvae is not None:
        channels |= dict.fromkeys(("in_channels", "out_channels"), vqvae.latent_channels)
    if config.stage is not None:
        channels = {"in_channels": BANDS + 3, "out_channels": BANDS}
        channels |= {"class_embed_type": "timestep", "add_attention": False}
    factor = vqvae.factor if vqvae else 1
    down = ["AttnDownBlock2D" if attends else "DownBlock2D" for attends in wish.attention]
    up = ["AttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(wish.attention)]
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(config.seed, _WEIGHTS))
        try:
            network = UNet2DModel(
                sample_size=_STAGE_SIDE if config.stage else config.phases[-1].size // factor,
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
        vqvae=vqvae.config if vqvae else None,
    )
    return InitialModel(architecture, network)


def _new_autoencoder(config: TrainConfig, wish: AutoencoderConfig) -> InitialModel:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    levels = len(wish.block_out_channels)
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(config.seed, _WEIGHTS))
        network = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=wish.block_out_channels,
            layers_per_block=wish.layers_per_block,
            latent_channels=wish.latent_channels,
            norm_num_groups=wish.norm_num_groups,
            sample_size=wish.side,
            force_upcast=False,
            use_quant_conv=False,
            use_post_quant_conv=False,
            mid_block_add_attention=False,
            scaling_factor=1.0,  # a latent model measures its own
        )
    vqvae: dict[str, Any] = json.loads(network.to_json_string())
    return InitialModel(Architecture({}, {}, vqvae=vqvae), network)


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
        clip_sample=config.stage is None and config.latent is None,
    )
    return dict(scheduler.config)


def check_architecture(
    architecture: Architecture, config: TrainConfig, classes: Classes | None
) -> None:
    """Refuse a model that can't be trained as `config` says.

    Raises:
        StudioError: If sizes, prediction, variance or classes don't fit.
    """
    if architecture.is_autoencoder != (config.autoencoder is not None):
        raise StudioError(
            "The model is an autoencoder." * architecture.is_autoencoder
            or "The model is no autoencoder.",
            "An autoencoder is trained with the settings `autoencoder`, a model without.",
        )
    if config.autoencoder is not None:
        if architecture.factor != config.autoencoder.factor:
            raise StudioError(
                f"The autoencoder makes pictures {architecture.factor} times smaller, and its "
                f"settings {config.autoencoder.factor} times.",
                "Give the block_out_channels of the one to start from.",
            )
        return
    for wrong, message, hint in _misfits(architecture, config, classes):
        if wrong:
            raise StudioError(message, hint)


def _misfits(
    model: Architecture, config: TrainConfig, classes: Classes | None
) -> list[tuple[bool, str, str]]:
    factor = model.factor * 2 ** (len(model.unet["block_out_channels"]) - 1)
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
            (model.vqvae is not None) != (config.latent is not None),
            "The model paints in a latent space." * (model.vqvae is not None)
            or "The model paints pixels.",
            "Name its autoencoder with `latent`, and no other model's.",
        ),
        (
            model.is_stage and model.target != "v_prediction",
            f"The second stage predicts {model.target}, not v.",
            "Start from a stage that predicts v, or from random weights.",
        ),
        (
            bool(uneven),
            f"The network makes pictures smaller, to 1/{factor}: it can't take {uneven} px.",
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
    autoencoder: Path | None = None,
) -> None:
    """Write a whole model, or nothing, to `folder`, which mustn't exist.

    DDPMPipeline loads a model, LDMPipeline a latent one, AutoencoderKL an autoencoder, and
    app.models.stages a second stage.

    Args:
        folder: The folder to write.
        architecture: The model without its weights.
        weights: The weights, by the names of diffusers' state_dict.
        size: The side of the model's pictures in pixels; a second stage keeps its own.
        half: Whether to store the weights in fp16.
        autoencoder: A latent model's, by its folder.

    Raises:
        OSError: If the model can't be written.
    """
    from diffusers import LDMPipeline
    from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    network: Any = architecture.network()
    module: nn.Module = network
    dtype = torch.float16 if half else torch.float32
    plain = {name: value.detach().cpu().to(dtype).contiguous() for name, value in weights.items()}
    module.load_state_dict(plain, assign=True)
    if architecture.is_autoencoder:
        with replaced_folder(folder) as temporary:
            network.save_pretrained(temporary)
            sync_below(temporary)
        return
    scheduler = DDPMScheduler.from_config(architecture.scheduler)
    if not architecture.is_stage:
        network.register_to_config(sample_size=size // architecture.factor)
    with replaced_folder(folder) as temporary:
        if autoencoder is not None:
            vqvae: Any = load_autoencoder(AutoencoderFiles(folder.name, autoencoder))
            nn.Module.to(vqvae, dtype)  # diffusers' own warns of what it keeps in fp32: nothing
            vqvae.register_to_config(scaling_factor=(architecture.vqvae or {})["scaling_factor"])
            pipeline: Any = LDMPipeline(vqvae, network, scheduler)
            pipeline.save_pretrained(temporary)
        elif architecture.is_stage:
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


def load_initial_model(files: ModelFiles | AutoencoderFiles) -> InitialModel:
    """Load the model in `files`, its weights in fp32 even if they are stored in fp16.

    Raises:
        ModelError: If the model's files are missing, broken, or no DDPM's, or its weights have
            NaN or infinity, which training would only spread.
    """
    if isinstance(files, AutoencoderFiles):
        if files.fields.class_name != "AutoencoderKL":
            raise files.error(
                f"its autoencoder is a {files.fields.class_name}", "Only AutoencoderKL is trained."
            )
        network = cast("AutoencoderKL", load_autoencoder(files))
        return InitialModel(Architecture({}, {}, vqvae=dict(files.config)), network)
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
    labels, vqvae = files.labels, files.autoencoder
    return Architecture(
        files.unet_config,
        files.scheduler_config,
        tuple(labels.labels) if labels else (),
        labels.null_label if labels else None,
        files.bands.model_dump() if isinstance(files, StageFiles) else None,
        tuple(labels.pictures or ()) if labels else (),
        vqvae.config | {"scaling_factor": vqvae.scaling_factor} if vqvae else None,
    )
