"""The models that the studio can paint with: found, described, loaded, kept, lent a GPU."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import torch
from cachetools import FIFOCache

from app.errors import ModelError
from app.models.cache import MemoryBudget, ModelCache
from app.models.files import MAX_NAME, ModelFiles, ModelInfo, Stamp, can_name, describe
from app.models.loading import LoadedModel, LoadedNetwork, LoadedStage, check_usable
from app.models.stages import BANDS_FILE, StageFiles, StageInfo, describe_stage
from app.networks.devices import choose_device
from app.networks.executor import DeviceExecutor
from app.networks.unet import PRECISIONS
from app.networks.zero_gpu import ZeroGpuExecutor, lease_seconds
from app.settings import BUNDLED_MODELS

P = ParamSpec("P")
T = TypeVar("T")
Files = TypeVar("Files", bound=ModelFiles)
Info = TypeVar("Info")
Network = TypeVar("Network", bound=LoadedNetwork)

MAX_ADOPTED: Final = 1_000


class ModelStore:
    """The model folders below `roots`, by name; a name that two roots share is the first's.

    A name is looked up among the folders found and the Hub's models that were added, and never
    used as a path. Loaded models stay in memory within a budget; the one used
    longest ago goes first, and never one that somebody paints with. One whose files have been
    replaced is read again; streams under way go on with what they hold.

    Args:
        roots: Folders whose sub-folders are models.
        device: auto, cpu, cuda or mps.
        threads: The number of torch's threads; 0 leaves it to torch.
        budget: How much memory the models may take.
        others: Returns the models that lie elsewhere at this moment, by id: the Hub's.
        zero_gpu: Whether this is ZeroGPU, which lends `device` to streams.

    Attributes:
        gpu: What lends a GPU to streams on ZeroGPU; None elsewhere.
        executor: Runs all networks, on one thread; on ZeroGPU `gpu`, which has none.
        budget: How much memory the models may take.
        shelf: The models in memory.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        device: str = "auto",
        threads: int = 0,
        budget: MemoryBudget | None = None,
        others: Callable[[], Mapping[str, ModelFiles]] = dict,
        *,
        zero_gpu: bool = False,
    ) -> None:
        self._roots = tuple(roots)
        self.gpu = ZeroGpuExecutor(device, threads) if zero_gpu else None
        self._device = torch.device("cpu") if self.gpu else choose_device(device)
        self.executor = self.gpu or DeviceExecutor(threads)
        self.budget = budget or MemoryBudget()
        self._others = others
        self.shelf = ModelCache(self.budget)
        self._adopted: FIFOCache[str, ModelFiles] = FIFOCache(MAX_ADOPTED)
        self._checked: FIFOCache[Stamp, None] = FIFOCache(MAX_ADOPTED)
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        if self.gpu:
            os.register_at_fork(after_in_child=self._renew_locks)

    def list(self) -> tuple[ModelInfo, ...]:
        """List the models that can be used, without folders that are no model or a broken one."""
        return self._usable(self._models().values(), describe)

    def stages(self) -> tuple[StageInfo, ...]:
        """List the second stages that can be used."""
        return self._usable(self._stages().values(), describe_stage)

    def faults(self) -> tuple[ModelError, ...]:
        """Return why each folder that looks like a model or a stage, and isn't usable, is not."""
        found = [
            files.error(
                "its folder's name can't be a model's",
                "Rename it: letters, digits, spaces, dots and hyphens, a letter, digit or "
                f"underscore first, {MAX_NAME} bytes at most.",
            )
            for files in self._folders()
            if not can_name(files.id)
        ]
        for files in (*self._models().values(), *self._stages().values()):
            try:
                describe_stage(files) if isinstance(files, StageFiles) else describe(files)
                self._check(files)
            except ModelError as error:
                found.append(error)
        return tuple(found)

    def describe(self, model_id: str) -> ModelInfo:
        """Describe the model called `model_id` without loading it.

        Raises:
            ModelError: If there is none of that name, or its files can't be used.
        """
        return describe(self.find(model_id))

    def load(self, model_id: str) -> LoadedModel:
        """Return the model called `model_id`, from memory where it is there already.

        Raises:
            ModelError: If there is none of that name, its files can't be used, or there is no
                memory for it.
        """
        return self._load(model_id, self.find, LoadedModel)

    def load_stage(self, stage_id: str) -> LoadedStage:
        """Return the second stage called `stage_id`, from memory where it is there already.

        Raises:
            ModelError: As `load` does.
        """
        return self._load(stage_id, self.find_stage, LoadedStage)

    def open(self, files: ModelFiles) -> LoadedNetwork:
        """Load the model or stage in `files`, whether it can be found by its id or not.

        Raises:
            ModelError: If its files can't be used, or there is no memory for it.
        """
        with self._loading:
            return self._in_memory(files) or self._read(files)

    def adopt(self, files: ModelFiles) -> None:
        """Let a model that lies elsewhere be found by its id, without listing it."""
        with self._lock:
            self._adopted[files.id] = files

    def find(self, model_id: str) -> ModelFiles:
        """Find the files of the model called `model_id`.

        Raises:
            ModelError: If there is none of that name.
        """
        if model_id in self._adopted:
            return replace(self._adopted[model_id])  # without what was read before
        found = self._models()
        if model_id not in found:
            raise ModelError(
                f"There is no model {model_id!r} here.",
                f"Choose one of: {', '.join(found) or 'none; the models folder is empty'}.",
            )
        return found[model_id]

    def find_stage(self, stage_id: str) -> StageFiles:
        """Find the files of the second stage called `stage_id`.

        Raises:
            ModelError: If there is none of that name.
        """
        found = self._stages()
        if stage_id not in found:
            raise ModelError(
                f"There is no second stage {stage_id!r} here.",
                f"Choose one of: {', '.join(found) or 'none; paint without one'}.",
            )
        return found[stage_id]

    def _load(self, name: str, find: Callable[[str], ModelFiles], kind: type[Network]) -> Network:
        # Whoever paints with a model that is here needn't wait while another one is read.
        network = self._in_memory(find(name)) or self.open(find(name))
        if not isinstance(network, kind):
            raise TypeError(f"{name} is no {kind.__name__}")
        return network

    def _in_memory(self, files: ModelFiles) -> LoadedNetwork | None:
        network = self.shelf.get(files.id)
        return network if network is not None and network.files.stamp == files.stamp else None

    def _read(self, files: ModelFiles) -> LoadedNetwork:
        stamp = files.stamp  # before anything else is read
        self.shelf.drop(files.id)
        needed = self.shelf.make_room(files)
        network: LoadedNetwork
        if isinstance(files, StageFiles):
            network = LoadedStage(files, self._device, self.executor)
        else:
            network = LoadedModel(files, self._device, self.executor)
        if replace(files).stamp != stamp:
            raise files.error(
                "its files were replaced while they were read", "Try again when they are whole."
            )
        self.shelf.put(files.id, network, needed)
        return network

    def _usable(
        self, found: Iterable[Files], described: Callable[[Files], Info]
    ) -> tuple[Info, ...]:
        infos = []
        for files in found:
            with suppress(ModelError):  # What loads it says what is wrong to whoever asks by name.
                info = described(files)
                # Checking takes diffusers, whose import the page needn't wait for: those that the
                # studio brings along are checked when they are loaded.
                if files.folder.parent != BUNDLED_MODELS:
                    self._check(files)
                infos.append(info)
        return tuple(infos)

    def _check(self, files: ModelFiles) -> None:
        """Check that a network can be loaded and run, once for its files as they are now."""
        stamp = files.stamp
        if stamp not in self._checked:
            check_usable(files)
            with self._lock:
                self._checked[stamp] = None

    def _renew_locks(self) -> None:
        """Replace the locks in a forked process, where threads that held them don't exist."""
        self._loading = threading.Lock()
        self.shelf.renew_lock()

    def _models(self) -> dict[str, ModelFiles]:
        found = {name: it for name, it in self._find().items() if not isinstance(it, StageFiles)}
        return found | dict(self._others())

    def _stages(self) -> dict[str, StageFiles]:
        return {name: it for name, it in self._find().items() if isinstance(it, StageFiles)}

    def _find(self) -> dict[str, ModelFiles]:
        found: dict[str, ModelFiles] = {}
        for files in self._folders():
            if can_name(files.id):
                found.setdefault(files.id, files)
        return found

    def _folders(self) -> Iterator[ModelFiles]:
        """Yield the folders that look like a model or a stage, whatever they are called."""
        for root in self._roots:
            for folder in sorted(root.iterdir()) if root.is_dir() else ():
                if (folder / BANDS_FILE).is_file():
                    yield StageFiles(folder.name, folder)
                elif (folder / "model_index.json").is_file() or (folder / "config.json").is_file():
                    yield ModelFiles(folder.name, folder)


def lend(
    models: ModelStore,
    task: Callable[Concatenate[LoadedModel, P], Iterator[T]],
    steps: Callable[Concatenate[ModelInfo, P], tuple[int, int]],
) -> Callable[Concatenate[LoadedModel, P], Iterator[T]]:
    """Wrap `task`, a stream of a model's steps, so that on ZeroGPU it is lent a GPU.

    Args:
        models: The store that the model is from.
        task: Gets all that it needs by its arguments, further networks among them, and yields all
            that it gives.
        steps: Counts from the same arguments the network steps, and the pictures in each.
    """
    gpu = models.gpu
    if gpu is None:
        return task

    def on_gpu(files: ModelFiles, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        opened: Any = (
            models.open(it).on(gpu.device) if isinstance(it, ModelFiles) else it
            for it in (files, *args)
        )
        yield from task(*opened, **kwargs)

    def seconds(files: ModelFiles, *args: P.args, **kwargs: P.kwargs) -> int:
        info = describe(files)
        return lease_seconds(*steps(info, *args, **kwargs), info.size)

    lent = gpu.lend(on_gpu, seconds)

    def lending(model: LoadedModel, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        sent: Any = (it.files if isinstance(it, LoadedNetwork) else it for it in args)
        return lent(model.files, *sent, **kwargs)

    return lending


def warm_up(models: ModelStore, model_id: str) -> None:
    """Load a model and the first stage in each precision, so that the first stream needn't wait.

    On ZeroGPU the main thread must call this, before the page is launched.

    Raises:
        ModelError: As `ModelStore.load` does.
    """
    networks: list[LoadedNetwork] = [models.load(model_id)]
    networks += [models.load_stage(stage.id) for stage in models.stages()[:1]]
    for network in networks:
        for precision in PRECISIONS:
            (network.on(models.gpu.device) if models.gpu else network).denoiser(precision)
