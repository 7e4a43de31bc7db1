"""The models that the studio can paint with: found, described, loaded, kept."""

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser
from app.engine.batcher import FeatureView, SharedDenoiser, Turns
from app.engine.devices import choose_device
from app.engine.unet import UNetDenoiser
from app.engine.zero import LentGpu
from app.errors import ModelError
from app.service.budget import MemoryBudget
from app.service.hub.library import HubLibrary
from app.service.model_files import ModelFiles
from app.service.recipe import Precision
from app.service.shelf import Shelf
from app.service.weights import load_unet, schedule_of
from app.settings import Settings

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
        name: What its owner calls it, if anything; else it goes by its id.
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

    @property
    def summary(self) -> str:
        """One line: "impressionist-64 · 64 px · 12.0 M"."""
        return f"{self.name or self.id} · {self.size} px · {self.parameters / 1e6:.1f} M"


class LoadedModel:
    """A model in memory: a denoiser for each precision is made when it is first asked for.

    Attributes:
        info: What a person is told about it.
        files: Its files.
        folder: Where they are.
        weights: sha256 of its weights file.
        schedule: The schedule that it was trained with.
    """

    def __init__(self, files: ModelFiles, device: torch.device, turns: Turns) -> None:
        self.info = describe(files)
        self.files = files
        self.folder = files.folder
        self.weights = files.weights_sha256
        self.schedule = schedule_of(files)
        self._target = files.scheduler_config.get("prediction_type", "epsilon")
        self._unet = load_unet(files)
        self._device = device
        self._turns = turns
        self._networks: dict[tuple[str, Precision], UNetDenoiser] = {}
        self._lock = threading.Lock()

    def on(self, device: torch.device) -> "LoadedModel":
        """The same model with its networks on `device`."""
        moved = copy.copy(self)
        moved._device = device
        # Of its own: the other one may be held by a thread that a forked process doesn't have.
        moved._lock = threading.Lock()
        return moved

    def denoiser(self, precision: Precision) -> Denoiser:
        """The network in `precision`; every step of it waits for its turn on the device."""
        self._network(precision)
        held = _HeldNetwork(self, precision)
        return SharedDenoiser(held, self._turns, self._target, self.info.channels)

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """What the network, in exact precision, sees in `x` (B, C, H, W) at `t` (B,): (B, D)."""
        return self._turns.take(FeatureView(self._network("exact")), x, t, None)

    def forward(
        self, precision: Precision, x_t: Tensor, t: Tensor, labels: Tensor | None
    ) -> Tensor:
        """The network's raw output in `precision`; only the thread whose turn it is calls it."""
        return self._network(precision).forward(x_t, t, labels)

    def _network(self, precision: Precision) -> UNetDenoiser:
        key = self._device.type, precision
        with self._lock:
            if key not in self._networks:
                self._networks[key] = self._turns.run(
                    lambda: UNetDenoiser(self._unet, device=self._device, precision=precision)
                )
            return self._networks[key]


@dataclass(frozen=True, eq=False)
class _HeldNetwork:
    """A model's network that keeps the whole model, so that one in use is seen to be in use."""

    model: LoadedModel
    precision: Precision

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The raw output, as the network gives it."""
        return self.model.forward(self.precision, x_t, t, labels)


class ModelStore:
    """The model folders below `roots`, by name; a name that two roots share is the first's.

    What is named is looked up among the folders found and the Hub's models that were added, so
    a name is never used as a path. Loaded models stay in memory within a budget; the one used
    longest ago goes first, and never one that somebody paints with.

    Args:
        roots: Folders whose sub-folders are models.
        device: auto, cpu, cuda or mps.
        threads: torch's; 0 leaves the number to torch.
        budget: How much memory the models may take.
        library: The models of the Hub that were added.
        zero_gpu: Whether this is ZeroGPU, which lends `device` to streams.
        free: Says how many processors are free for the networks; None stands for all.

    Attributes:
        gpu: What lends a GPU to streams on ZeroGPU; None elsewhere.
        turns: The thread that all its networks run on; on ZeroGPU `gpu`, which has none.
        budget: How much memory the models may take.
        shelf: The models in memory.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        device: str = "auto",
        threads: int = 0,
        budget: MemoryBudget | None = None,
        library: HubLibrary | None = None,
        *,
        zero_gpu: bool = False,
        free: Callable[[], int] | None = None,
    ) -> None:
        self._roots = tuple(roots)
        self.gpu = LentGpu(device, threads) if zero_gpu else None
        self._device = torch.device("cpu") if self.gpu else choose_device(device)
        self.turns: Turns = self.gpu or Turns(threads, free)
        self.budget = budget or MemoryBudget()
        self._library = library
        self.shelf: Shelf[LoadedModel] = Shelf(self.budget)
        self._adopted: OrderedDict[str, ModelFiles] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        if self.gpu:
            os.register_at_fork(after_in_child=self._renew_locks)

    @classmethod
    def of(cls, settings: Settings, device: str | None = None) -> "ModelStore":
        """The models that `settings` name: bundled, in a folder, and added from the Hub."""
        return cls(
            settings.model_roots,
            device or settings.device,
            settings.threads,
            MemoryBudget(settings.model_memory_mb),
            HubLibrary(settings.data_dir),
            zero_gpu=settings.zero_gpu,
        )

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
            ModelError: If there is none of that name, its files can't be used, or there is no
                memory for it.
        """
        model = self.shelf.get(model_id)
        if model is not None:
            return model
        # Whoever paints with a model that is here needn't wait while another one is read.
        with self._loading:
            return self.shelf.get(model_id) or self._read(self.find(model_id))

    def open(self, files: ModelFiles) -> LoadedModel:
        """The model in `files`, whether it can be found by its id or not.

        Raises:
            ModelError: If its files can't be used, or there is no memory for it.
        """
        with self._loading:
            model = self.shelf.get(files.id)
            if model is not None and model.weights == files.weights_sha256:
                return model
            return self._read(files)

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

    def _read(self, files: ModelFiles) -> LoadedModel:
        needed = self.shelf.make_room(files)
        model = LoadedModel(files, self._device, self.turns)
        self.shelf.put(files.id, model, needed)
        return model

    def _renew_locks(self) -> None:
        """In a forked process, whose threads don't hold what threads held where it came from."""
        self._loading = threading.Lock()
        self.shelf.renew_lock()

    def _find(self) -> dict[str, ModelFiles]:
        found: dict[str, ModelFiles] = {}
        for root in self._roots:
            for folder in sorted(root.iterdir()) if root.is_dir() else ():
                if (folder / "model_index.json").is_file() or (folder / "config.json").is_file():
                    found.setdefault(folder.name, ModelFiles(folder.name, folder))
        return found | dict(self._library.models() if self._library else {})


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
