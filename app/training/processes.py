"""One process or several, started by torchrun and joined by accelerate.

A step's batch is drawn alike in every process; each takes its own rows, and the gradients are
averaged. So the number of processes changes how fast a run goes, not where it goes.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, TypeVar

import torch
from torch import Tensor, nn

from app.errors import StudioError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Processes:
    """The processes of a run, seen from one of them; the default is a run of one.

    Attributes:
        rank: This one's number, from 0.
        count: How many there are.
        accelerator: What joins them, where there are several.
    """

    rank: int = 0
    count: int = 1
    accelerator: Optional["Accelerator"] = None

    @classmethod
    def join(cls, device: torch.device) -> "Processes":
        """The processes that torchrun started, or this one alone.

        Raises:
            StudioError: If there are several and accelerate isn't installed.
        """
        if not torch.distributed.is_torchelastic_launched():
            return cls()
        try:
            from accelerate import Accelerator  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise StudioError(
                "Several processes are joined by accelerate, which isn't installed.",
                'Install it with pip install "accelerate>=1.10,<2", or start without torchrun.',
            ) from error
        accelerator = Accelerator(cpu=device.type == "cpu")
        return cls(accelerator.process_index, accelerator.num_processes, accelerator)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and measures."""
        return self.rank == 0

    def rows(self, batch: int, part: int, parts: int) -> slice:
        """This process's rows of part `part` of a batch's `parts` equal ones."""
        size = batch // (self.count * parts)
        start = (part * self.count + self.rank) * size
        return slice(start, start + size)

    def wrap(self, network: nn.Module) -> nn.Module:
        """`network`, averaging its gradients over the processes."""
        if self.accelerator is None or self.count == 1:
            return network
        wrapped: nn.Module = self.accelerator.prepare_model(network)
        return wrapped

    def averaging(self, network: nn.Module, last: bool) -> AbstractContextManager[object]:
        """A context for a backward pass, whose gradients are averaged after the `last` part."""
        if last or self.accelerator is None or self.count == 1:
            return nullcontext()
        context: AbstractContextManager[object] = self.accelerator.no_sync(network)
        return context

    def gather(self, values: Tensor) -> Tensor:
        """The `values` (n,) of every process, one after the other."""
        if self.accelerator is None or self.count == 1:
            return values
        gathered: Tensor = self.accelerator.gather(values)
        return gathered

    def gather_objects(self, own: list[T]) -> list[T]:
        """The picklable objects of every process, those of process 0 first."""
        if self.accelerator is None or self.count == 1:
            return own
        from accelerate.utils import gather_object  # noqa: PLC0415 - an optional extra

        gathered: list[T] = gather_object(own)
        return gathered

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process; the same answer in all."""
        return bool(self.gather(torch.tensor([flag], dtype=torch.int32)).any())

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()

    def leave(self) -> None:
        """Take the processes apart at the end."""
        if self.accelerator is not None:
            self.accelerator.end_training()
