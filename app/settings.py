"""The studio's settings: frozen, and the only reader of the environment."""

import logging
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticKnownError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.errors import StudioError

ROOT: Final = Path(__file__).resolve().parent.parent
BUNDLED_MODELS: Final = ROOT / "models"
ASSETS: Final = ROOT / "assets"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

HOST_NAME: Final = re.compile(r"([A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+|[0-9a-fA-F:]*::?[0-9a-fA-F:]*")
"""A host's name, or its address."""

SWITCHES: Final = frozenset({"0", "false", "1", "true"})
"""The spellings of on and off, in capitals or not; pydantic accepts more."""

HINTS: Final = {
    "bool_parsing": "Set it to 0 or 1.",
    "literal_error": "Choose auto, cpu, cuda or mps.",
    "string_pattern_mismatch": "Use letters, digits, dots and dashes.",
}
"""Advice by pydantic's kind of error; errors about numbers name the field's bounds."""


def _check_switch(given: object) -> object:
    if isinstance(given, str) and given.lower() not in SWITCHES:
        raise PydanticKnownError("bool_parsing")
    return given


def _check_digits(given: object) -> object:
    """Refuse the signs, spaces, underscores and 5.0 that pydantic reads as whole numbers."""
    if isinstance(given, str) and not given.isdecimal():
        raise PydanticKnownError("int_parsing", {"error": "not digits alone"})
    return given


def _existing_folder(path: Path) -> Path:
    folder = path.expanduser()
    if not folder.is_dir():
        raise ValueError("names no folder: {}.", "Create it or unset it.")
    return folder


def _possible_folder(path: Path) -> Path:
    folder = path.expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise ValueError("names a file: {}.", "Name a folder.")
    return folder


def _postgres_address(url: str) -> str:
    if url and not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(
            "is no address of a Postgres database.",
            "It looks like postgresql://user:password@host:5432/name.",
        )
    return url


def _names(given: object) -> object:
    """Split names at commas; each is a host's, without a port."""
    if not isinstance(given, str):
        return given
    names = tuple(name for each in given.split(",") if (name := each.strip()))
    if not all(map(HOST_NAME.fullmatch, names)):
        raise ValueError("is {!r}.", "List names such as studio.example, without ports, at commas.")
    return names


Switch = Annotated[bool, BeforeValidator(_check_switch)]
WholeNumber = Annotated[int, BeforeValidator(_check_digits)]
ExistingFolder = Annotated[Path, AfterValidator(_existing_folder)]
PossibleFolder = Annotated[Path, AfterValidator(_possible_folder)]
PostgresAddress = Annotated[str, AfterValidator(_postgres_address)]
Megabytes = Annotated[WholeNumber, Field(ge=1, le=1_000_000_000)]
Count = Annotated[WholeNumber | None, Field(ge=0, le=1_000_000)]
Work = Annotated[WholeNumber | None, Field(ge=0, le=1_000_000_000)]
HostNames = Annotated[tuple[str, ...], BeforeValidator(_names)]
MachineName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")]
Device = Literal["auto", "cpu", "cuda", "mps"]


class Settings(BaseSettings):
    """How one studio runs; each field's alias is the variable that it is read from.

    Only `from_environment` reads them; the constructor takes fields by name.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        case_sensitive=True,
        validate_by_name=True,
        validate_by_alias=True,
        validate_default=False,
        use_attribute_docstrings=True,
    )

    server_name: Annotated[str, Field(alias="GRADIO_SERVER_NAME")] = "127.0.0.1"
    """The address to listen on."""

    server_port: Annotated[WholeNumber, Field(alias="GRADIO_SERVER_PORT", ge=1, le=65535)] = 7860
    """The port to listen on."""

    root_path: Annotated[str, Field(alias="GRADIO_ROOT_PATH")] = ""
    """The path that a proxy serves the page under."""

    default_model: Annotated[str, Field(alias="PLEIN_AIR_MODEL")] = "impressionist-64"
    """The model that the page opens with."""

    models_dir: Annotated[ExistingFolder | None, Field(alias="PLEIN_AIR_MODELS")] = None
    """A folder of further models in diffusers' DDPM layout."""

    device: Annotated[Device, Field(alias="PLEIN_AIR_DEVICE")] = "auto"
    """The device that networks compute on; auto takes the best there is."""

    threads: Annotated[WholeNumber, Field(alias="PLEIN_AIR_THREADS", ge=0, le=1024)] = 0
    """torch's threads; 0 leaves the number to torch."""

    data_dir: Annotated[PossibleFolder, Field(alias="PLEIN_AIR_DATA")] = ROOT / "data"
    """The folder for uploads and training jobs; made when needed."""

    single_user: Annotated[Switch, Field(alias="PLEIN_AIR_SINGLE_USER")] = True
    """1: whoever opens the page sees all jobs; 0: their own."""

    upload_quota_mb: Annotated[Megabytes, Field(alias="PLEIN_AIR_UPLOAD_QUOTA_MB")] = 4_000
    """The most that all uploaded pictures may take."""

    job_quota_mb: Annotated[Megabytes, Field(alias="PLEIN_AIR_JOB_QUOTA_MB")] = 20_000
    """The most that all jobs may take before one starts."""

    job_threads: Annotated[WholeNumber, Field(alias="PLEIN_AIR_JOB_THREADS", ge=0, le=1024)] = 0
    """A training's threads; 0 is half of the processors."""

    database_url: Annotated[PostgresAddress, Field(alias="DATABASE_URL")] = ""
    """A Postgres database for jobs on several machines.

    Without it they are kept in SQLite in the data folder, and one worker carries them out.
    """

    machine: Annotated[MachineName, Field(alias="PLEIN_AIR_MACHINE")] = ""
    """This machine's name, by default its host name.

    Workers of one machine take turns on its device.
    """

    model_memory_mb: Annotated[
        WholeNumber, Field(alias="PLEIN_AIR_MODEL_MEMORY_MB", ge=0, le=1_000_000_000)
    ] = 0
    """The most that models take of the memory; 0 is half of it."""

    add_models: Annotated[Switch | None, Field(alias="PLEIN_AIR_ADD_MODELS")] = None
    """Whether the page may bring models from the Hub; unset, only where single_user is on."""

    picture_steps: Annotated[Work, Field(alias="PLEIN_AIR_PICTURE_STEPS")] = None
    """The most network steps times pictures of 64 px of one request.

    0 is no limit, unset is none where single_user is on; so are the seven after it.
    """

    requests_per_minute: Annotated[Count, Field(alias="PLEIN_AIR_REQUESTS_PER_MINUTE")] = None
    """The most requests of one visitor."""

    queue_length: Annotated[Count, Field(alias="PLEIN_AIR_QUEUE_LENGTH")] = None
    """The most requests that wait."""

    training_views: Annotated[Work, Field(alias="PLEIN_AIR_TRAINING_VIEWS")] = None
    """The most steps times batch of one training, counted in pictures of 64 px."""

    jobs_per_visitor: Annotated[Count, Field(alias="PLEIN_AIR_JOBS_PER_VISITOR")] = None
    """The most trainings of one visitor that wait or run."""

    job_queue_length: Annotated[Count, Field(alias="PLEIN_AIR_JOB_QUEUE_LENGTH")] = None
    """The most trainings of all visitors that wait or run."""

    visitor_upload_mb: Annotated[Count, Field(alias="PLEIN_AIR_VISITOR_UPLOAD_MB")] = None
    """The most that one visitor's uploads of the last hour may take, until they are used."""

    uploads_mb: Annotated[Count, Field(alias="PLEIN_AIR_UPLOADS_MB")] = None
    """The most that all visitors' uploads may take; from one address half of it."""

    proxies: Annotated[WholeNumber, Field(alias="PLEIN_AIR_PROXIES", ge=0, le=100)] = 1
    """How many proxies stand in front of the page.

    Each adds whom it heard from to X-Forwarded-For; 0 is none, and the header is ignored.
    """

    hosts: Annotated[HostNames, NoDecode, Field(alias="PLEIN_AIR_HOSTS")] = ()
    """Names by which a single user's page may be asked, beside this machine's own."""

    static_dir: Annotated[ExistingFolder | None, Field(alias="PLEIN_AIR_STATIC")] = None
    """The folder of a page that paints in the visitor's own browser, which Paint then offers."""

    static_first: Annotated[Switch, Field(alias="PLEIN_AIR_STATIC_FIRST")] = False
    """Whether that page is what visitors come to first."""

    mcp: Annotated[Switch, Field(alias="PLEIN_AIR_MCP")] = False
    """Whether the page's calls are tools of an MCP server too."""

    oauth_client_id: Annotated[str, Field(alias="OAUTH_CLIENT_ID")] = ""
    """Set on a Space with hf_oauth: who visits may sign in."""

    space_id: Annotated[str, Field(alias="SPACE_ID")] = ""
    """Set by Hugging Face where the studio is a Space: "owner/name"."""

    space_host: Annotated[str, Field(alias="SPACE_HOST")] = ""
    """Set by Hugging Face where the studio is a Space: the name that it is reached by."""

    zero_gpu: Annotated[Switch, Field(alias="SPACES_ZERO_GPU")] = False
    """Set by Hugging Face on ZeroGPU hardware."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the constructor take its arguments alone."""
        return (init_settings,)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from `environ`; an empty variable counts as unset.

        Where others can reach the page, each sees only their own, unless `environ` says otherwise.

        Raises:
            StudioError: If a variable's value can't be used.
        """
        source = EnvSettingsSource(cls)
        # By aliases alone: the source would take a variable called `threads` too.
        aliases = {str(field.alias) for field in cls.model_fields.values()}
        source.env_vars = {name: environ[name] for name in aliases & set(environ) if environ[name]}
        try:
            settings = cls(**source())
        except ValidationError as error:
            # From None, since the value given may be a password.
            raise cls._in_words(error.errors()[0], environ) from None
        if "single_user" in settings.model_fields_set:
            return settings
        alone = not settings.space_id and settings.server_name in LOOPBACK
        return settings.model_copy(update={"single_user": alone})

    @classmethod
    def _in_words(cls, fault: ErrorDetails, environ: Mapping[str, str]) -> StudioError:
        text = environ[variable := str(fault["loc"][0])]
        if fault["type"] == "value_error":
            said, hint = fault["ctx"]["error"].args
            return StudioError(f"{variable} {said.format(text)}", hint)
        if (hint := HINTS.get(fault["type"])) is None:
            (field,) = (each for each in cls.model_fields.values() if each.alias == variable)
            (low,) = (each.ge for each in field.metadata if isinstance(each, Ge))
            (high,) = (each.le for each in field.metadata if isinstance(each, Le))
            hint = f"Set it to a whole number from {low} to {high}."
        return StudioError(f"{variable} is {text!r}.", hint)

    def variables(self) -> dict[str, str]:
        """Return the environment by which another process gets the same settings."""
        return {
            name: _as_variable(value)
            for name, value in self.model_dump(by_alias=True, exclude_none=True).items()
        }

    @property
    def model_roots(self) -> tuple[Path, ...]:
        """The folders whose sub-folders are models; the bundled ones come first."""
        return (BUNDLED_MODELS, self.models_dir) if self.models_dir else (BUNDLED_MODELS,)

    @property
    def machine_name(self) -> str:
        """This machine's name among those that share the jobs."""
        return self.machine or socket.gethostname()

    @property
    def may_add_models(self) -> bool:
        """Tell whether the page may bring models from the Hub."""
        return self.single_user if self.add_models is None else self.add_models


def _as_variable(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(int(value) if isinstance(value, bool) else value)


def spin_briefly() -> None:
    """Have OpenMP's workers wait for each other awake for microseconds, then asleep.

    GNU's stay awake for milliseconds, and so keep a processor from the very worker that they wait
    for wherever another process has some of the processors. Call it before torch is imported, for
    its OpenMP reads the variable once.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def quiet_matplotlib() -> None:
    """Have matplotlib choose no window and not speak of its folder and its fonts.

    Left to choose, it imports pyplot; where the home folder can't be written, it warns of the
    temporary one that it makes. Gradio imports it at its first event, so call it before.
    """
    os.environ.setdefault("MPLBACKEND", "agg")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def environment_with(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with `changes`, for a child process."""
    return dict(os.environ) | dict(changes)
