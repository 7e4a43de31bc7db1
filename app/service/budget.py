"""How much memory models may take, and what is said where one doesn't fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.engine.memory import available_bytes, network_bytes, total_bytes
from app.errors import ModelError
from app.service.model_files import ModelFiles


@dataclass(frozen=True)
class MemoryBudget:
    """A budget for all models in memory together.

    Attributes:
        megabytes: The most that they may take; 0 is half of the memory there is.
    """

    megabytes: int = 0

    @property
    def limit(self) -> int:
        """The most that they may take, in bytes."""
        return self.megabytes * 1_000_000 or total_bytes() // 2

    def available(self) -> int:
        """The machine's memory that nobody uses now, in bytes."""
        return available_bytes()

    def needed(self, files: ModelFiles) -> int:
        """What the model in `files` will take.

        Raises:
            ModelError: If its files can't be used, or it is larger than the whole budget.
        """
        stored = files.weights_file.stat().st_size
        return self.refuse_if_never(files.id, files.num_parameters, files.unet_config, stored)

    def refuse_if_never(
        self, name: str, parameters: int, config: Mapping[str, Any], stored: int
    ) -> int:
        """What a model will take; it is refused where it can't fit even when it is alone.

        Args:
            name: What the message calls it.
            parameters: The number of its weights.
            config: Its network's config.json.
            stored: The bytes of its weights file.

        Raises:
            ModelError: If it is larger than the whole budget.
        """
        try:
            needed = network_bytes(parameters, config)
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"The model {name!r} can't be used: its config.json has impossible sizes.",
                "Choose another.",
            ) from error
        if needed > self.limit:
            raise ModelError(
                f"The model {name!r} is too large: its weights have {stored / 1e6:.0f} MB on the "
                f"disk, in memory it needs about {needed / 1e6:.0f} MB, and "
                f"{self.limit / 1e6:.0f} MB are set aside for models.",
                "Choose a smaller one, or raise PLEIN_AIR_MODEL_MEMORY_MB.",
            )
        return needed

    def refusal(self, files: ModelFiles, needed: int, taken: int) -> ModelError:
        """The error for a model that doesn't fit now, beside those in use, which take `taken`."""
        stored = files.weights_file.stat().st_size
        return ModelError(
            f"There is no memory for the model {files.id!r} now: its weights have "
            f"{stored / 1e6:.0f} MB on the disk, in memory it needs about {needed / 1e6:.0f} MB; "
            f"models in use take {taken / 1e6:.0f} of the {self.limit / 1e6:.0f} MB set aside, "
            f"and {self.available() / 1e6:.0f} MB of the machine's are free.",
            "Try again when the others are done, or raise PLEIN_AIR_MODEL_MEMORY_MB.",
        )
