"""Loaded models within a budget of memory; the idle one used longest ago is dropped first."""

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass

from app.errors import ModelError
from app.models.files import ModelFiles
from app.models.loading import LoadedNetwork
from app.networks.machine import available_bytes, network_bytes, total_bytes


@dataclass(frozen=True)
class MemoryBudget:
    """A budget for all models in memory together.

    Attributes:
        megabytes: The most that the models may take; 0 is half of the memory there is.
    """

    megabytes: int = 0

    @property
    def limit(self) -> int:
        """The most that the models may take, in bytes."""
        return self.megabytes * 1_000_000 or total_bytes() // 2

    def available(self) -> int:
        """Return the machine's memory that is free now, in bytes."""
        return available_bytes()

    def needed(self, files: ModelFiles, parameters: int, stored: int) -> int:
        """Return the bytes that the model in `files` will take in memory.

        Args:
            files: The model's files, of which only the configuration is read.
            parameters: The number of its weights.
            stored: The bytes of its weights file.

        Raises:
            ModelError: If it is larger than the whole budget, or its files can't be used.
        """
        try:
            needed = network_bytes(parameters, files.unet_config)
            needed += decoding_bytes(files)
        except (TypeError, ValueError) as error:
            raise files.error("its config.json has impossible sizes", "Choose another.") from error
        if needed > self.limit:
            raise ModelError(
                f"The model {files.id!r} is too large: its weights have {stored / 1e6:.0f} MB on "
                f"the disk, in memory it needs about {needed / 1e6:.0f} MB, and "
                f"{self.limit / 1e6:.0f} MB are set aside for models.",
                "Choose a smaller one, or raise PLEIN_AIR_MODEL_MEMORY_MB.",
            )
        return needed


def decoding_bytes(files: ModelFiles) -> int:
    """Estimate the bytes of the activations with which a latent model decodes one picture.

    Raises:
        ModelError: If its autoencoder's files can't be used.
    """
    of = files.autoencoder
    if of is None:
        return 0
    layers = {"block_out_channels": of.widths, "layers_per_block": of.fields.layers_per_block}
    return network_bytes(0, {"sample_size": files.unet_config["sample_size"] * of.factor} | layers)


@dataclass(eq=False)
class _Kept:
    """A model and its approximate bytes; emptied for a moment to see whether others hold it."""

    model: LoadedNetwork | None
    nbytes: int


class ModelCache:
    """Loaded models by id; safe in threads.

    A model is in use as long as anybody but the cache holds it: a stream does until it is closed.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, model_id: str) -> LoadedNetwork | None:
        """Return the model, if it is here, and count it as used now."""
        with self._lock:
            if model_id not in self._kept:
                return None
            self._kept.move_to_end(model_id)
            return self._kept[model_id].model

    def put(self, model_id: str, model: LoadedNetwork, nbytes: int) -> None:
        """Keep `model`, for which `make_room` has made room."""
        with self._lock:
            self._kept[model_id] = _Kept(model, nbytes)

    def drop(self, model_id: str) -> None:
        """Keep a model no longer; whoever uses it goes on with it."""
        with self._lock:
            self._kept.pop(model_id, None)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the models here, the one used longest ago first."""
        with self._lock:
            return tuple(self._kept)

    @property
    def nbytes(self) -> int:
        """The approximate number of bytes that all models here take."""
        with self._lock:
            return sum(kept.nbytes for kept in self._kept.values())

    def renew_lock(self) -> None:
        """Forget who holds the lock: in a forked process, nobody does."""
        self._lock = threading.Lock()

    def make_room(self, files: ModelFiles) -> int:
        """Drop idle models until the one in `files` fits; return about how many bytes it will take.

        Raises:
            ModelError: If it is larger than the whole budget, or too large beside those in use.
        """
        budget = self._budget
        stored = files.weights_bytes
        needed = budget.needed(files, files.num_parameters, stored)
        available = budget.available()
        while self.nbytes + needed > budget.limit or needed > available:
            freed = self._drop_idle()
            if not freed:
                taken = self.nbytes
                raise ModelError(
                    f"There is no memory for the model {files.id!r} now: its weights have "
                    f"{stored / 1e6:.0f} MB on the disk, in memory it needs about "
                    f"{needed / 1e6:.0f} MB; models in use take {taken / 1e6:.0f} of the "
                    f"{budget.limit / 1e6:.0f} MB set aside, and "
                    f"{budget.available() / 1e6:.0f} MB of the machine's are free.",
                    "Try again when the others are done, or raise PLEIN_AIR_MODEL_MEMORY_MB.",
                )
            # What was freed counts at once, though the C library may keep it for what comes.
            available += freed
        return needed

    def _drop_idle(self) -> int:
        """Drop the idle model used longest ago; return its bytes, or 0 if all are in use."""
        with self._lock:
            for model_id, kept in self._kept.items():
                held = weakref.ref(kept.model) if kept.model is not None else None
                kept.model = None
                kept.model = held() if held else None
                if kept.model is None:
                    del self._kept[model_id]
                    return kept.nbytes
        return 0
