"""The studio's settings: frozen, and the only reader of the environment."""

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from app.errors import StudioError

ROOT: Final = Path(__file__).resolve().parent.parent
BUNDLED_MODELS: Final = ROOT / "models"
ASSETS: Final = ROOT / "assets"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


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
        database_url: DATABASE_URL, a Postgres database for jobs on several machines; without it
            they are kept in SQLite in the data folder, and one worker carries them out.
        machine: PLEIN_AIR_MACHINE, what this machine is called; by default its host name. Workers
            of one machine take turns on its device.
        model_memory_mb: PLEIN_AIR_MODEL_MEMORY_MB, the most that models take of the memory; 0 is
            half of it.
        add_models: PLEIN_AIR_ADD_MODELS: whether the page may bring models from the Hub; unset,
            only where single_user is on.
        picture_steps: PLEIN_AIR_PICTURE_STEPS, the most network steps times pictures of 64 px of
            one request; 0 is no limit, unset is none where single_user is on.
        requests_per_minute: PLEIN_AIR_REQUESTS_PER_MINUTE, of one visitor; likewise.
        queue_length: PLEIN_AIR_QUEUE_LENGTH, the most requests that wait; likewise.
        training_views: PLEIN_AIR_TRAINING_VIEWS, the most steps times batch of one training,
            counted in pictures of 64 px; likewise.
        jobs_per_visitor: PLEIN_AIR_JOBS_PER_VISITOR, the most trainings of one visitor that wait
            or run; likewise.
        job_queue_length: PLEIN_AIR_JOB_QUEUE_LENGTH, the most of all visitors; likewise.
        proxies: PLEIN_AIR_PROXIES, how many proxies stand in front of the page, each of which adds
            whom it heard from to X-Forwarded-For; 0 is none, and what the header says is ignored.
        mcp: PLEIN_AIR_MCP: whether the page's calls are tools of an MCP server too.
        oauth_client_id: OAUTH_CLIENT_ID, set on a Space with hf_oauth: who visits may sign in.
        space_id: SPACE_ID, set by Hugging Face where the studio is a Space: "owner/name".
        zero_gpu: SPACES_ZERO_GPU, set by Hugging Face on ZeroGPU hardware.
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
    database_url: str = ""
    machine: str = ""
    model_memory_mb: int = 0
    add_models: bool | None = None
    picture_steps: int | None = None
    requests_per_minute: int | None = None
    queue_length: int | None = None
    training_views: int | None = None
    jobs_per_visitor: int | None = None
    job_queue_length: int | None = None
    proxies: int = 1
    mcp: bool = False
    oauth_client_id: str = ""
    space_id: str = ""
    zero_gpu: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """The settings that `environ` asks for; an empty variable counts as unset.

        Where others can reach the page, each sees only their own, unless `environ` says otherwise.

        Raises:
            StudioError: If a variable's value can't be used.
        """
        given: dict[str, Any] = {}
        for field in fields(cls):
            text = environ.get(VARIABLES[field.name], "")
            if text:
                given[field.name] = _parse(VARIABLES[field.name], text, field.name)
        public = given.get("space_id") or given.get("server_name", "127.0.0.1") not in LOOPBACK
        return cls(**{"single_user": not public} | given)

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

    @property
    def machine_name(self) -> str:
        """What this machine is called among those that share the jobs."""
        return self.machine or socket.gethostname()

    @property
    def may_add_models(self) -> bool:
        """Whether the page may bring models from the Hub."""
        return self.single_user if self.add_models is None else self.add_models


def spin_briefly() -> None:
    """Have OpenMP's workers wait for each other awake for microseconds, then asleep.

    GNU's stay awake for milliseconds, and so keep a processor from the very worker that they wait
    for wherever another process has some of the processors. Call it before torch is imported, for
    its OpenMP reads the variable once.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


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
    "database_url": "DATABASE_URL",
    "machine": "PLEIN_AIR_MACHINE",
    "model_memory_mb": "PLEIN_AIR_MODEL_MEMORY_MB",
    "add_models": "PLEIN_AIR_ADD_MODELS",
    "picture_steps": "PLEIN_AIR_PICTURE_STEPS",
    "requests_per_minute": "PLEIN_AIR_REQUESTS_PER_MINUTE",
    "queue_length": "PLEIN_AIR_QUEUE_LENGTH",
    "training_views": "PLEIN_AIR_TRAINING_VIEWS",
    "jobs_per_visitor": "PLEIN_AIR_JOBS_PER_VISITOR",
    "job_queue_length": "PLEIN_AIR_JOB_QUEUE_LENGTH",
    "proxies": "PLEIN_AIR_PROXIES",
    "mcp": "PLEIN_AIR_MCP",
    "oauth_client_id": "OAUTH_CLIENT_ID",
    "space_id": "SPACE_ID",
    "zero_gpu": "SPACES_ZERO_GPU",
}

SWITCHES: Final = {"0": False, "false": False, "1": True, "true": True}

RANGES: Final = {
    "server_port": (1, 65535),
    "threads": (0, 1024),
    "job_threads": (0, 1024),
    "upload_quota_mb": (1, 1_000_000_000),
    "job_quota_mb": (1, 1_000_000_000),
    "model_memory_mb": (0, 1_000_000_000),
    "picture_steps": (0, 1_000_000_000),
    "requests_per_minute": (0, 1_000_000),
    "queue_length": (0, 1_000_000),
    "training_views": (0, 1_000_000_000),
    "jobs_per_visitor": (0, 1_000_000),
    "job_queue_length": (0, 1_000_000),
    "proxies": (0, 100),
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
        case "single_user" | "add_models" | "mcp" | "zero_gpu":
            if text.lower() not in SWITCHES:
                raise StudioError(f"{variable} is {text!r}.", "Set it to 0 or 1.")
            return SWITCHES[text.lower()]
        case "database_url" if not text.startswith(("postgresql://", "postgres://")):
            raise StudioError(
                f"{variable} is no address of a Postgres database.",
                "It looks like postgresql://user:password@host:5432/name.",
            )
        case "machine" if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
            raise StudioError(f"{variable} is {text!r}.", "Use letters, digits, dots and dashes.")
        case "device" if text not in ("auto", "cpu", "cuda", "mps"):
            raise StudioError(f"{variable} is {text!r}.", "Choose auto, cpu, cuda or mps.")
        case _:
            return text
