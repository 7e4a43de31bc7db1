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
        data_dir: PLEIN_AIR_DATA, the folder for uploads and training jobs; made when needed.
        single_user: PLEIN_AIR_SINGLE_USER: 1, whoever opens the page sees all jobs; 0, their own.
        upload_quota_mb: PLEIN_AIR_UPLOAD_QUOTA_MB, the most that all uploaded pictures may take.
        job_quota_mb: PLEIN_AIR_JOB_QUOTA_MB, the most that all jobs may take before one starts.
        job_threads: PLEIN_AIR_JOB_THREADS, a training's threads; 0 is half of the processors.
    """

    server_name: str = "127.0.0.1"
    server_port: int = 7860
    root_path: str = ""
    default_model: str = "impressionist-64"
    models_dir: Path | None = None
    device: str = "auto"
    threads: int = 0
    data_dir: Path = ROOT / "data"
    single_user: bool = True
    upload_quota_mb: int = 4_000
    job_quota_mb: int = 20_000
    job_threads: int = 0

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

    def variables(self) -> dict[str, str]:
        """The environment by which another process gets the same settings."""
        values = ((VARIABLES[field.name], getattr(self, field.name)) for field in fields(self))
        return {
            name: str(int(value) if isinstance(value, bool) else value)
            for name, value in values
            if value is not None
        }

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
    "data_dir": "PLEIN_AIR_DATA",
    "single_user": "PLEIN_AIR_SINGLE_USER",
    "upload_quota_mb": "PLEIN_AIR_UPLOAD_QUOTA_MB",
    "job_quota_mb": "PLEIN_AIR_JOB_QUOTA_MB",
    "job_threads": "PLEIN_AIR_JOB_THREADS",
}

RANGES: Final = {
    "server_port": (1, 65535),
    "threads": (0, 1024),
    "job_threads": (0, 1024),
    "upload_quota_mb": (1, 1_000_000_000),
    "job_quota_mb": (1, 1_000_000_000),
}


def _parse(variable: str, text: str, field: str) -> str | int | Path:
    match field:
        case _ if field in RANGES:
            low, high = RANGES[field]
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
        case "data_dir":
            folder = Path(text).expanduser().absolute()
            if folder.exists() and not folder.is_dir():
                raise StudioError(f"{variable} names a file: {text}.", "Name a folder.")
            return folder
        case "single_user":
            if text not in ("0", "1"):
                raise StudioError(f"{variable} is {text!r}.", "Set it to 0 or 1.")
            return text == "1"
        case "device" if text not in ("auto", "cpu", "cuda", "mps"):
            raise StudioError(f"{variable} is {text!r}.", "Choose auto, cpu, cuda or mps.")
        case _:
            return text
