"""The models that the studio can paint with: found, described, loaded, kept."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

from app.diffusion.denoiser import Denoiser
from app.diffusion.schedule import NoiseSchedule
from app.engine.batcher import FeatureView, SharedDenoiser, Turns
from app.engine.devices import choose_device
from app.engine.schedules import noise_schedule
from app.engine.unet import UNetDenoiser
from app.errors import ModelError
from app.service.model_files import ModelFiles
from app.service.recipe import Precision

MAX_LOADED: Final = 2
"""Models kept in memory; the one used longest ago goes first."""

MAX_ADOPTED: Final = 1_000


@dataclass(frozen=True)
class ModelInfo:
    """What a person is told about a model before it is loaded.

    Attributes:
        id: Its name, the same as its folder's.
        size: The side of its pictures in pixels.
        channels: 1 (grey) or 3.
        parameters: The number of its weights.
        num_train_timesteps: T.
        labels: The names of its classes; empty where it has none.
        null_label: The class that stands for "any", without which it can't be guided.
        learned_variance: Whether it predicts its variance.
    """

    id: str
    size: int
    channels: int
    parameters: int
    num_train_timesteps: int
    labels: tuple[str, ...]
    null_label: int | None
    learned_variance: bool

    @property
    def summary(self) -> str:
        """One line: "impressionist-64 · 64 px · 12.0 M"."""
        return f"{self.id} · {self.size} px · {self.parameters / 1e6:.1f} M"


class LoadedModel:
    """A model in memory: a denoiser for each precision is made when it is first asked for.

    Attributes:
        info: What a person is told about it.
        folder: Where its files are.
        weights: sha256 of its weights file.
        schedule: The schedule that it was trained with.
    """

    def __init__(self, files: ModelFiles, device: torch.device, turns: Turns) -> None:
        self.info = describe(files)
        self.folder = files.folder
        self.weights = files.weights_sha256
        self.schedule = schedule_of(files)
        self._target = files.scheduler_config.get("prediction_type", "epsilon")
        self._unet = load_unet(files)
        self._device = device
        self._turns = turns
        self._networks: dict[Precision, UNetDenoiser] = {}
        self._lock = threading.Lock()

    def denoiser(self, precision: Precision) -> Denoiser:
        """The network in `precision`; every step of it waits for its turn on the device."""
        network = self._network(precision)
        return SharedDenoiser(network, self._turns, self._target, self.info.channels)

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """What the network, in exact precision, sees in `x` (B, C, H, W) at `t` (B,): (B, D)."""
        return self._turns.take(FeatureView(self._network("exact")), x, t, None)

    def _network(self, precision: Precision) -> UNetDenoiser:
        with self._lock:
            if precision not in self._networks:
                self._networks[precision] = self._turns.run(
                    lambda: UNetDenoiser(self._unet, device=self._device, precision=precision)
                )
            return self._networks[precision]


class ModelStore:
    """The model folders below `roots`, by name; a name that two roots share is the first's.

    What is named is looked up among the folders found, so a name is never used as a path.

    Attributes:
        turns: The thread that all its networks run on.
    """

    def __init__(self, roots: Sequence[Path], device: str = "auto", threads: int = 0) -> None:
        self._roots = tuple(roots)
        self._device = choose_device(device)
        self.turns = Turns(threads)
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._adopted: OrderedDict[str, ModelFiles] = OrderedDict()
        self._lock = threading.Lock()

    def list(self) -> tuple[ModelInfo, ...]:
        """The models that can be used; a folder that is no model, or a broken one, is left out."""
        infos = []
        for files in self._find().values():
            try:
                infos.append(describe(files))
            except ModelError:
                continue  # `load` says what is wrong with it to whoever asks for it by name.
        return tuple(infos)

    def describe(self, model_id: str) -> ModelInfo:
        """What is known of the model called `model_id` without loading it.

        Raises:
            ModelError: If there is none of that name, or its files can't be used.
        """
        return describe(self.find(model_id))

    def load(self, model_id: str) -> LoadedModel:
        """The model called `model_id`, from memory where it is there already.

        Raises:
            ModelError: If there is none of that name, or its files can't be used.
        """
        with self._lock:
            if model_id not in self._loaded:
                self._loaded[model_id] = LoadedModel(self.find(model_id), self._device, self.turns)
                if len(self._loaded) > MAX_LOADED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(model_id)
            return self._loaded[model_id]

    def adopt(self, files: ModelFiles) -> None:
        """Make a model that lies elsewhere known by its id, to who knows that; it isn't listed."""
        with self._lock:
            self._adopted[files.id] = files
            if len(self._adopted) > MAX_ADOPTED:
                self._adopted.popitem(last=False)

    def find(self, model_id: str) -> ModelFiles:
        """The files of the model called `model_id`.

        Raises:
            ModelError: If there is none of that name.
        """
        if model_id in self._adopted:
            return self._adopted[model_id]
        found = self._find()
        if model_id not in found:
            raise ModelError(
                f"There is no model {model_id!r} here.",
                f"Choose one of: {', '.join(found) or 'none; the models folder is empty'}.",
            )
        return found[model_id]

    def _find(self) -> dict[str, ModelFiles]:
        found: dict[str, ModelFiles] = {}
        for root in self._roots:
            for folder in sorted(root.iterdir()) if root.is_dir() else ():
                if (folder / "model_index.json").is_file() or (folder / "config.json").is_file():
                    found.setdefault(folder.name, ModelFiles(folder.name, folder))
        return found


def describe(files: ModelFiles) -> ModelInfo:
    """What the configurations and the weights' header say.

    Raises:
        ModelError: If they are missing, broken, or not a DDPM's.
    """
    unet, labels = files.unet_config, files.labels
    return ModelInfo(
        id=files.id,
        size=unet["sample_size"],
        channels=unet["in_channels"],
        parameters=files.num_parameters,
        num_train_timesteps=files.scheduler_config.get("num_train_timesteps", 1000),
        labels=labels.names if labels else (),
        null_label=labels.null_label if labels else None,
        learned_variance=files.learned_variance,
    )


def schedule_of(files: ModelFiles) -> NoiseSchedule:
    """The schedule that the model was trained with.

    Raises:
        ModelError: If its numbers are impossible.
    """
    try:
        return noise_schedule(files.scheduler_config)
    except (ValueError, TypeError) as error:
        raise files.error(
            f"its noise schedule is impossible ({error})", "Mend its file."
        ) from error


def load_unet(files: ModelFiles) -> UNet2DModel:
    """The network with its weights in fp32, whatever they are stored in.

    Raises:
        ModelError: If they are missing, damaged, or don't fit its configuration.
    """
    expected = files.num_parameters  # reads the header, so a truncated file is refused by name
    try:
        unet, report = UNet2DModel.from_pretrained(
            files.weights_file.parent,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise files.error(
            f"its weights don't fit its config.json ({str(error).splitlines()[0][:200]})",
            "Copy the whole model folder again.",
        ) from error
    if report["missing_keys"] or report["unexpected_keys"] or report["mismatched_keys"]:
        odd = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
        raise files.error(
            f"{len(odd)} tensors of its {expected:,} weights don't fit config.json ({odd[0]}, ...)",
            "Copy the whole model folder again.",
        )
    unet.eval().requires_grad_(False)
    return cast(UNet2DModel, unet)
