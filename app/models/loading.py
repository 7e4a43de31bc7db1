"""Models and second stages in memory: networks and their schedules, read from their files."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Final, Self, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from app.diffusion.analytic import AnalyticVariance
from app.diffusion.cascade import BANDS
from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, require_finite
from app.diffusion.schedule import NoiseSchedule, noise_schedule
from app.diffusion.variance import Variance, VarianceName
from app.models.autoencoders import (
    AutoencoderFiles,
    check_autoencoder,
    empty_autoencoder,
    load_autoencoder,
)
from app.models.files import ModelFiles, describe
from app.models.network_files import BUILDING_ERRORS
from app.models.stages import StageFiles, bands_of, describe_stage
from app.networks.autoencoder import AT_ONCE, Autoencoder, LinearDecoder
from app.networks.executor import NetworkExecutor
from app.networks.unet import Engine, Precision, SharedDenoiser, UNetDenoiser

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

_OTHER: Final = "Choose another model."


def schedule_of(files: ModelFiles) -> NoiseSchedule:
    """Read the schedule that the model was trained with.

    Raises:
        ModelError: If its numbers are impossible.
    """
    try:
        return noise_schedule(files.scheduler_config)
    except (ValueError, TypeError) as error:
        raise files.error(
            f"its noise schedule is impossible ({error})", "Mend its file."
        ) from error


def empty_network(files: ModelFiles) -> UNet2DModel:
    """Build the network that config.json describes, without memory for its weights.

    Raises:
        ModelError: If no such network can be built.
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    try:
        with torch.device("meta"):
            return cast(UNet2DModel, UNet2DModel.from_config(files.unet_config))
    except BUILDING_ERRORS as error:
        raise files.error(
            f"its config.json describes no network that can be built ({_first_line(error)})",
            "Copy the whole model folder again.",
        ) from error


def check_usable(files: ModelFiles) -> None:
    """Check all of a model or stage that its configurations and its weights' header can show.

    Nothing is allocated: a small file can come with the configuration of a huge network.

    Raises:
        ModelError: If its schedule is impossible, a tensor is missing, unknown, or of another
            shape, or the network can't take its own pictures at all of its timesteps.
    """
    network, schedule = empty_network(files), schedule_of(files)
    _check_fits(files, network)
    unstored = {name for name, _ in network.named_buffers()} - network.state_dict().keys()
    if unstored:
        raise files.error(f"its network has {min(unstored)}, which no weights file holds", _OTHER)
    table = network.time_proj
    if isinstance(table, nn.Embedding) and table.num_embeddings < schedule.num_train_timesteps:
        raise files.error(
            f"its network knows {table.num_embeddings} timesteps, and its schedule has "
            f"{schedule.num_train_timesteps}",
            "Mend num_train_timesteps in one of its files.",
        )
    _check_runs(files, network)
    if files.autoencoder:
        check_autoencoder(files.autoencoder, files.unet_config["sample_size"])


def _check_runs(files: ModelFiles, network: UNet2DModel) -> None:
    side = files.unet_config["sample_size"]
    t = label = torch.zeros(1, dtype=torch.int64, device="meta")
    x = torch.empty(1, files.unet_config["in_channels"], side, side, device="meta")
    try:
        with torch.no_grad():
            network(x, t, label if network.class_embedding is not None else None)
    except BUILDING_ERRORS as error:
        raise files.error(
            f"diffusers can't run the network of its config.json ({_first_line(error)})", _OTHER
        ) from error


def _check_fits(files: ModelFiles, network: UNet2DModel) -> None:
    if odd := files.misfits(network):
        raise files.error(
            f"{len(odd)} tensors of its {files.num_parameters:,} weights don't fit config.json "
            f"({odd[0]}, ...)",
            "Copy the whole model folder again.",
        )


def load_unet(files: ModelFiles) -> UNet2DModel:
    """Load the network with its weights in fp32, whatever format they are stored in.

    Raises:
        ModelError: If they are missing, damaged, or don't fit its configuration.
    """
    check_usable(files)
    unet = empty_network(files)
    try:
        stored = files.read_weights()
        unet._fix_state_dict_keys_on_load(stored)
        unet.load_state_dict(stored, assign=True)
    except (OSError, SafetensorError, *BUILDING_ERRORS) as error:
        raise files.error(
            f"its weights can't be read ({_first_line(error)})",
            "Copy the whole model folder again.",
        ) from error
    unet.eval().requires_grad_(False)
    return unet


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


class LoadedNetwork:
    """A network in memory: a denoiser for each precision is made when it is first asked for.

    Attributes:
        channels: The channels of x_t.
        files: Its files.
        folder: Where they are.
        weights: sha256 of its weights file.
        schedule: The schedule that it was trained with.
    """

    def __init__(
        self, files: ModelFiles, channels: int, device: torch.device, executor: NetworkExecutor
    ) -> None:
        self.channels = channels
        self.files = files
        self.folder = files.folder
        self.weights = files.weights_sha256
        self.schedule = schedule_of(files)
        self._target = files.scheduler_config["prediction_type"]
        self._unet = load_unet(files)
        self._device = device
        self._executor = executor
        self._networks: dict[tuple[str, Precision], UNetDenoiser] = {}
        self._lock = threading.Lock()

    def on(self, device: torch.device) -> Self:
        """Return the same network on `device`."""
        moved = copy.copy(self)
        moved._device = device
        # A lock of its own: the other's may be held by a thread that a forked process doesn't have.
        moved._lock = threading.Lock()
        return moved

    def denoiser(self, precision: Precision) -> Denoiser:
        """Return the network in `precision`; every step of it waits for its turn on the device."""
        forward = self._network(precision).forward
        how = self._executor, self._target, self.channels
        return SharedDenoiser(forward, *how, keep=self, name=self.files.id)

    def engine(self, precision: Precision) -> Engine:
        """Tell what the network computes with in `precision`."""
        return self._network(precision).engine

    def _network(self, precision: Precision) -> UNetDenoiser:
        key = self._device.type, precision
        with self._lock:
            if key not in self._networks:
                self._networks[key] = self._executor.submit(
                    UNetDenoiser, self._unet, device=self._device, precision=precision
                ).result()
            return self._networks[key]


class LoadedModel(LoadedNetwork):
    """A model in memory, with the autoencoder of a latent one.

    Attributes:
        info: What a person is told about it.
        latents: What a latent model diffuses in; None where it diffuses pictures.
    """

    def __init__(self, files: ModelFiles, device: torch.device, executor: NetworkExecutor) -> None:
        self.info = describe(files)
        super().__init__(files, self.info.shape[0], device, executor)
        self.latents: LatentSpace | None = None
        if files.autoencoder:
            self.latents = LatentSpace(files, files.autoencoder, device, executor)

    def on(self, device: torch.device) -> Self:
        """Return the same model on `device`."""
        moved = super().on(device)
        moved.latents = self.latents and self.latents.on(device)
        return moved

    def encode(self, x_0: Tensor) -> Tensor:
        """Return what is diffused of pictures (B, C, H, W) in [-1, 1]: latents, or themselves."""
        return self.latents.encode(x_0) if self.latents else x_0

    def decode(self, x_0: Tensor) -> Tensor:
        """Return the pictures of what is diffused: decoded latents, or `x_0` itself."""
        return self.latents.decode(x_0) if self.latents else x_0

    def seen(self, x_t: Tensor) -> Tensor:
        """Return x_t as a picture: of a latent the colours alone, without the decoder."""
        return self.latents.linear.picture(x_t) if self.latents else x_t

    def seen_noise(self, eps: Tensor) -> Tensor:
        """Return the noise of an x_t as that of its picture, as `seen` shows it."""
        return self.latents.linear.noise(eps) if self.latents else eps

    @cached_property
    def analytic(self) -> AnalyticVariance:
        """The variances that were estimated of it.

        Raises:
            ModelError: If there are none, or they are of other weights.
        """
        return AnalyticVariance(torch.tensor(self.files.analytic, dtype=torch.float64))

    def variance(self, name: VarianceName) -> Variance:
        """Return the variance of its steps that is called so.

        Raises:
            ModelError: As `analytic` does.
        """
        return self.analytic if name == "analytic" else name

    def condition(self, asked: int | str | None, pictures: int) -> Condition | None:
        """Make the condition of `pictures` pictures of the class `asked` for, or of "any".

        Raises:
            RecipeError: If the model can't be asked for it.
        """
        label = self.info.label_of(asked)
        return Condition.of_label(self.info.null_label if label is None else label, pictures)

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the exact network's features of pictures `x` (B, C, H, W) at `t` (B,).

        They are (B, D) float32.

        Raises:
            NotFiniteError: If they have NaN or infinity.
        """
        x = self.encode(x)
        found = self._executor.submit(self._network("exact").features, x, t).result()
        require_finite(found, t, f"What {self.files.id} makes of a picture")
        return found


class LatentSpace:
    """A latent model's autoencoder in memory, which takes turns with the networks' steps.

    Attributes:
        linear: What shows latents without it.
        decoded_every: So many steps take at least twice as long as a decoding, in either
            precision: where no more than one of so many moments is decoded, a run takes at most
            half as long again.
    """

    def __init__(
        self,
        files: ModelFiles,
        autoencoder: AutoencoderFiles,
        device: torch.device,
        executor: NetworkExecutor,
    ) -> None:
        self._loaded, self._scale = load_autoencoder(autoencoder), autoencoder.scaling_factor
        self._device, self._executor = device, executor
        self._placed: dict[str, Autoencoder] = {}
        self._lock = threading.Lock()
        # In 16 bits a step takes half as long or less, and a decoding as long as ever.
        self.decoded_every = max(1, ceil(3 * decoding_cost(files, autoencoder)))
        side = files.unet_config["sample_size"] * autoencoder.factor
        shape = autoencoder.channels, side, side
        self.linear = LinearDecoder.fitted(self.encode, shape, autoencoder.factor)

    def on(self, device: torch.device) -> LatentSpace:
        """Return the same on `device`."""
        moved = copy.copy(self)
        moved._device, moved._lock = device, threading.Lock()
        return moved

    def encode(self, x_0: Tensor) -> Tensor:
        """Turn pictures (B, C, H, W) in [-1, 1] into scaled latents (B, L, h, w)."""
        return self._in_parts(self._here().encode, x_0)

    def decode(self, z: Tensor) -> Tensor:
        """Turn scaled latents (B, L, h, w) into pictures (B, C, H, W), about [-1, 1]."""
        return self._in_parts(self._here().decode, z)

    def _in_parts(self, work: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return torch.cat([self._executor.submit(work, it).result() for it in x.split(AT_ONCE)])

    def _here(self) -> Autoencoder:
        with self._lock:
            if self._device.type not in self._placed:
                self._placed[self._device.type] = self._executor.submit(
                    Autoencoder, self._loaded, self._scale, device=self._device
                ).result()
            return self._placed[self._device.type]


def decoding_cost(files: ModelFiles, autoencoder: AutoencoderFiles) -> float:
    """Count a decoding's multiplications, in those of a step of the model's network."""
    network, decoder = empty_network(files), empty_autoencoder(autoencoder)
    side, t = files.unet_config["sample_size"], torch.zeros(1, dtype=torch.int64, device="meta")
    z = torch.empty(1, autoencoder.latent_channels, side, side, device="meta")
    label = t if network.class_embedding is not None else None

    def products(run: Callable[[], object]) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run()
        return int(counter.get_total_flops())

    return products(lambda: decoder.decode(z)) / products(lambda: network(z, t, label))


class LoadedStage(LoadedNetwork):
    """A second stage in memory.

    Attributes:
        info: What a person is told about it.
        bands: The bands that it paints.
        s_noise: How far the deviation of the sampler's noise is over 1, times the number of steps.
    """

    def __init__(self, files: StageFiles, device: torch.device, executor: NetworkExecutor) -> None:
        self.info, self.bands = describe_stage(files), bands_of(files)
        self.s_noise = files.bands.s_noise
        super().__init__(files, BANDS, device, executor)
