"""One process or several, started by torchrun and joined by accelerate.

A step's batch is drawn alike in every process; each takes its own rows, and the gradients are
averaged. So the number of processes changes a run's speed, not its result.
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
        rank: The number of this process, from 0.
        count: How many processes there are.
        accelerator: What joins the processes; None for a run of one.
    """

    rank: int = 0
    count: int = 1
    accelerator: Optional["Accelerator"] = None

    @classmethod
    def join(cls, device: torch.device) -> "Processes":
        """Join the processes that torchrun started, or make a run of this process alone.

        Raises:
            StudioError: If there are several processes and accelerate isn't installed.
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
        """Tell whether this process is the one that writes files and measures."""
        return self.rank == 0

    def rows(self, batch: int, part: int, parts: int) -> slice:
        """Return this process's rows of part `part` of the `parts` equal parts of a batch."""
        size = batch // (self.count * parts)
        start = (part * self.count + self.rank) * size
        return slice(start, start + size)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wrap `network` so that its gradients are averaged over the processes."""
        if self.accelerator is None or self.count == 1:
            return network
        wrapped: nn.Module = self.accelerator.prepare_model(network)
        return wrapped

    def averaging(self, network: nn.Module, last: bool) -> AbstractContextManager[object]:
        """Return the context for a part's backward pass: gradients are averaged in the `last`."""
        if last or self.accelerator is None or self.count == 1:
            return nullcontext()
        context: AbstractContextManager[object] = self.accelerator.no_sync(network)
        return context

    def gather(self, values: Tensor) -> Tensor:
        """Gather the `values` (n,) of every process, in the order of the processes."""
        if self.accelerator is None or self.count == 1:
            return values
        gathered: Tensor = self.accelerator.gather(values)
        return gathered

    def gather_objects(self, own: list[T]) -> list[T]:
        """Gather the picklable objects of every process, those of process 0 first."""
        if self.accelerator is None or self.count == 1:
            return own
        from accelerate.utils import gather_object  # noqa: PLC0415 - an optional extra

        gathered: list[T] = gather_object(own)
        return gathered

    def any(self, flag: bool) -> bool:
        """Tell every process alike whether `flag` is true in any of them."""
        return bool(self.gather(torch.tensor([flag], dtype=torch.int32)).any())

    def wait(self) -> None:
        """Wait until every process has got here."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()

    def leave(self) -> None:
        """End the joint run of the processes."""
        if self.accelerator is not None:
            self.accelerator.end_training()
