"""Autoencoders: what takes pictures to a latent space and back, in diffusers' layouts.

Rombach et al. (2022), https://arxiv.org/abs/2112.10752: a network is trained to make pictures
small, with more channels than colours, and large again, and diffusion happens between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

import torch
from pydantic import Field
from safetensors import SafetensorError

from app.models.fields import MAX_LEVELS, ConfigFields, Count
from app.models.network_files import BUILDING_ERRORS, NetworkFiles
from app.networks.autoencoder import latents_of

if TYPE_CHECKING:
    from app.networks.autoencoder import AnyAutoencoder

AutoencoderClass = Literal["AutoencoderKL", "AutoencoderTiny", "VQModel"]

SCALING: Final[dict[AutoencoderClass, float]] = {
    "AutoencoderKL": 0.18215,
    "AutoencoderTiny": 1.0,
    "VQModel": 0.18215,
}
"""The classes that are known, with the scaling factor of a config.json that has none."""

PARTS: Final = ("vqvae", "vae")
"""The names that a pipeline may give to the part that is its autoencoder."""

MAX_FACTOR: Final = 32
MAX_LAYERS: Final = 32

Layers = Annotated[int, Field(ge=0, le=MAX_LAYERS)]


class AutoencoderFields(ConfigFields):
    """Fields of an autoencoder's config.json.

    Attributes:
        scaling_factor: By what latents are multiplied before diffusion, so that they have about
            unit variance; None is the class's default.
    """

    class_name: AutoencoderClass = Field(alias="_class_name")
    in_channels: int = Field(default=3, ge=1)
    out_channels: int = Field(default=3, ge=1)
    latent_channels: Count | None = None
    block_out_channels: list[Count] = Field(default=[64], min_length=1, max_length=MAX_LEVELS)
    encoder_block_out_channels: list[Count] = Field(
        default=[64] * 4, min_length=1, max_length=MAX_LEVELS
    )
    decoder_block_out_channels: list[Count] = Field(
        default=[64] * 4, min_length=1, max_length=MAX_LEVELS
    )
    layers_per_block: int = Field(default=1, ge=1, le=MAX_LAYERS)
    num_encoder_blocks: list[Layers] = Field(default=[1, 3, 3, 3], max_length=MAX_LEVELS)
    num_decoder_blocks: list[Layers] = Field(default=[3, 3, 3, 1], max_length=MAX_LEVELS)
    upsampling_scaling_factor: Literal[2] = 2
    scaling_factor: float | int | None = Field(default=None, gt=0, allow_inf_nan=False)
    shift_factor: float | int | None = None
    latents_mean: None = None
    latents_std: None = None

    @property
    def factor(self) -> int:
        """How many times smaller than its picture's side a latent's is."""
        tiny = self.class_name == "AutoencoderTiny"
        levels = self.encoder_block_out_channels if tiny else self.block_out_channels
        return int(2 ** (len(levels) - 1))


@dataclass(frozen=True, eq=False)
class AutoencoderFiles(NetworkFiles):
    """An autoencoder's folder.

    Raises:
        ModelError: By each property, if the files it needs are missing, broken, or not an
            autoencoder's.
    """

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config.json."""
        return self._read_json(self.folder / "config.json")

    @cached_property
    def fields(self) -> AutoencoderFields:
        """What is read of the config.json, checked for what is followed."""
        if (found := self.config.get("_class_name")) not in SCALING:
            raise self.error(
                f"its autoencoder's class is {found!r}",
                f"Plein Air knows: {', '.join(SCALING)}.",
            )
        fields = self._checked(AutoencoderFields, self.config, "autoencoder's config.json")
        if fields.in_channels not in (1, 3) or fields.out_channels != fields.in_channels:
            raise self.error("its autoencoder takes no pictures", "It has 1 or 3 channels.")
        if fields.shift_factor:
            raise self.error(
                f"its autoencoder's shift_factor is {fields.shift_factor}",
                "diffusers' LDMPipeline doesn't shift latents, and neither does Plein Air.",
            )
        if fields.factor > MAX_FACTOR:
            raise self.error(
                f"its autoencoder makes pictures {fields.factor} times smaller",
                f"Plein Air takes up to {MAX_FACTOR}.",
            )
        return fields

    @property
    def channels(self) -> int:
        """The channels of its pictures: 1 (grey) or 3."""
        return self.fields.in_channels

    @property
    def latent_channels(self) -> int:
        """The channels of its latents."""
        defaults = {"AutoencoderKL": 4, "AutoencoderTiny": 4, "VQModel": 3}
        return self.fields.latent_channels or defaults[self.fields.class_name]

    @property
    def factor(self) -> int:
        """How many times smaller than its picture's side a latent's is."""
        return self.fields.factor

    @property
    def widths(self) -> list[int]:
        """The channels of the decoder's levels, the largest maps first."""
        fields = self.fields
        tiny = fields.class_name == "AutoencoderTiny"
        return fields.decoder_block_out_channels if tiny else fields.block_out_channels

    @property
    def scaling_factor(self) -> float:
        """By what latents are multiplied before diffusion; where absent, the class's default."""
        return float(self.fields.scaling_factor or SCALING[self.fields.class_name])


def autoencoder_files(model: str, folder: Path) -> AutoencoderFiles:
    """Return the autoencoder in a folder, or in its part called vqvae or vae.

    Args:
        model: The id of the model that errors name.
        folder: The autoencoder's own folder, or a latent model's.
    """
    for part in PARTS:
        if (folder / part).is_dir():
            return AutoencoderFiles(model, folder / part)
    return AutoencoderFiles(model, folder)


def empty_autoencoder(files: AutoencoderFiles) -> AnyAutoencoder:
    """Build the autoencoder that config.json describes, without memory for its weights.

    Raises:
        ModelError: If no such autoencoder can be built.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.autoencoders.vq_model import VQModel

    kinds = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny, "VQModel": VQModel}
    kind: Any = kinds[files.fields.class_name]
    given = {"scaling_factor": files.scaling_factor, "latent_channels": files.latent_channels}
    config = files.config | given
    if files.fields.class_name == "AutoencoderTiny":
        config.pop("block_out_channels", None)  # which it writes, and doesn't take
    try:
        with torch.device("meta"):
            return cast("AnyAutoencoder", kind.from_config(config))
    except BUILDING_ERRORS as error:
        raise files.error(
            f"its autoencoder's config.json describes none that can be built ({str(error)[:200]})",
            "Copy the whole model folder again.",
        ) from error


def check_autoencoder(files: AutoencoderFiles, side: int) -> None:
    """Check all of an autoencoder that its configuration and its weights' header can show.

    Args:
        files: Its files.
        side: The side of the latents that it decodes.

    Raises:
        ModelError: If a tensor is missing, unknown, or of another shape, or it doesn't make
            latents of that side of pictures, and pictures of them.
    """
    autoencoder = empty_autoencoder(files)
    _check_fits(files, autoencoder)
    x_0 = torch.empty(1, files.channels, *[side * files.factor] * 2, device="meta")
    try:
        with torch.no_grad():
            z = latents_of(autoencoder, x_0)
            made = torch.as_tensor(autoencoder.decode(z).sample)
    except BUILDING_ERRORS as error:
        raise files.error(
            f"diffusers can't run the autoencoder of its config.json ({str(error)[:200]})",
            "Copy the whole model folder again.",
        ) from error
    if (z.shape, made.shape) != ((1, files.latent_channels, side, side), x_0.shape):
        raise files.error(
            f"its autoencoder makes {tuple(z.shape[1:])} of {tuple(x_0.shape[1:])}, and "
            f"{tuple(made.shape[1:])} of that",
            "Mend its config.json, or choose another model.",
        )


def load_autoencoder(files: AutoencoderFiles) -> AnyAutoencoder:
    """Load an autoencoder with its weights in fp32, whatever format they are stored in.

    Raises:
        ModelError: If they are missing, damaged, or don't fit its configuration.
    """
    autoencoder = empty_autoencoder(files)
    _check_fits(files, autoencoder)
    try:
        stored = files.read_weights()
        autoencoder._fix_state_dict_keys_on_load(stored)
        autoencoder.load_state_dict(stored, assign=True)
    except (OSError, SafetensorError) as error:
        raise files.error(
            f"its autoencoder's weights can't be read ({error})", "Copy the folder again."
        ) from error
    for name, weights in stored.items():
        if not bool(weights.isfinite().all()):
            raise files.error(
                f"its autoencoder's weights have NaN or infinity, in {name}", "Copy them again."
            )
    return autoencoder.eval().requires_grad_(False)


def _check_fits(files: AutoencoderFiles, autoencoder: AnyAutoencoder) -> None:
    if odd := files.misfits(autoencoder):
        raise files.error(
            f"{len(odd)} tensors of its autoencoder don't fit config.json ({odd[0]}, ...)",
            "Copy the whole model folder again.",
        )
