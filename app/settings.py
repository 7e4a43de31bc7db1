"""The studio's settings: frozen, and the only reader of the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from app.errors import StudioError

ROOT: Final = Path(__file__).resolve().parent.parent
BUNDLED_MODELS: Final = ROOT / "models"
ASSETS: Final = ROOT / "assets"


@dataclass(frozen=True)
class Settings:
    """How one studio runs; each field is read from the variable named beside it.

    Attributes:
        server_name: GRADIO_SERVER_NAME, the address to listen on.
        server_port: GRADIO_SERVER_PORT.
        root_path: GRADIO_ROOT_PATH, the path that a proxy serves the page under.
        default_model: PLEIN_AIR_MODEL, the model that the page opens with.
        models_dir: PLEIN_AIR_MODELS, a folder of further models in diffusers' DDPM layout.
        device: PLEIN_AIR_DEVICE: auto, cpu, cuda or mps.
        threads: PLEIN_AIR_THREADS, torch's threads; 0 leaves the number to torch.
    """

    server_name: str = "127.0.0.1"
    server_port: int = 7860
    root_path: str = ""
    default_model: str = "impressionist-64"
    models_dir: Path | None = None
    device: str = "auto"
    threads: int = 0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """The settings that `environ` asks for; an empty variable counts as unset.

        Raises:
            StudioError: If a variable's value can't be used.
        """
        given: dict[str, Any] = {}
        for field in fields(cls):
            text = environ.get(VARIABLES[field.name], "")
            if text:
                given[field.name] = _parse(VARIABLES[field.name], text, field.name)
        return cls(**given)

    @property
    def model_roots(self) -> tuple[Path, ...]:
        """The folders whose sub-folders are models; the bundled ones come first."""
        return (BUNDLED_MODELS, self.models_dir) if self.models_dir else (BUNDLED_MODELS,)


def environment_with(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `changes`, for a child process."""
    return dict(os.environ) | dict(changes)


VARIABLES: Final = {
    "server_name": "GRADIO_SERVER_NAME",
    "server_port": "GRADIO_SERVER_PORT",
    "root_path": "GRADIO_ROOT_PATH",
    "default_model": "PLEIN_AIR_MODEL",
    "models_dir": "PLEIN_AIR_MODELS",
    "device": "PLEIN_AIR_DEVICE",
    "threads": "PLEIN_AIR_THREADS",
}


def _parse(variable: str, text: str, field: str) -> str | int | Path:
    match field:
        case "server_port" | "threads":
            low, high = (1, 65535) if field == "server_port" else (0, 1024)
            if not text.isdecimal() or not low <= int(text) <= high:
                raise StudioError(
                    f"{variable} is {text!r}.", f"Set it to a whole number from {low} to {high}."
                )
            return int(text)
        case "models_dir":
            folder = Path(text).expanduser()
            if not folder.is_dir():
                raise StudioError(f"{variable} names no folder: {text}.", "Create it or unset it.")
            return folder
        case "device" if text not in ("auto", "cpu", "cuda", "mps"):
            raise StudioError(f"{variable} is {text!r}.", "Choose auto, cpu, cuda or mps.")
        case _:
            return text
