"""The README's front matter, by which Hugging Face sets a Space up."""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import yaml
from huggingface_hub import SpaceHardware, metadata_load
from packaging.specifiers import SpecifierSet

from app.service.preflight.finding import Finding, faults
from app.service.preflight.requirements import read_requirements

CHECK: Final = "front matter"
MAX_DESCRIPTION: Final = 60
COLOURS: Final = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SCOPE: Final = "contribute-repos"
"""With it a visitor who signed in publishes from the page."""

PYTHONS: Final = SpecifierSet(">=3.11")
ZERO_GPU_PYTHONS: Final = SpecifierSet(">=3.12,<3.13")

KNOWN: Final = frozenset(
    {
        "title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version",
        "app_file", "app_port", "base_path", "suggested_hardware", "suggested_storage",
        "fullWidth", "header", "short_description", "models", "datasets", "tags", "thumbnail",
        "pinned", "hf_oauth", "hf_oauth_scopes", "hf_oauth_expiration_minutes",
        "hf_oauth_authorized_org", "disable_embedding", "startup_duration_timeout",
        "custom_headers", "preload_from_hub", "license", "license_name", "license_link",
    }
)  # fmt: skip
SCOPES: Final = frozenset(
    {
        "openid", "profile", "email", "read-billing", "read-repos", "gated-repos",
        "contribute-repos", "write-repos", "manage-repos", "inference-api", "jobs", "webhooks",
        "write-discussions", "read-mcp", "read-collections", "write-collections",
    }
)  # fmt: skip

Fault = tuple[str, str]


def check_front_matter(folder: Path) -> tuple[Finding, ...]:
    """Whether the README in `folder` says what a Space needs."""
    readme = folder / "README.md"
    try:
        fields = metadata_load(readme)
    except OSError:
        return faults(CHECK, [("there is no README.md", "A Space is set up by its head.")], "")
    except (ValueError, yaml.YAMLError) as error:
        said = f"README.md begins with no YAML ({str(error).splitlines()[0]})"
        return faults(CHECK, [(said, "Mend the lines between the two ---.")], "")
    if not fields:
        return faults(CHECK, [("README.md has none", "Begin it with --- and sdk: gradio.")], "")
    found = [
        *_names(fields),
        *_sdk(fields, folder),
        *_python(fields),
        *_app(fields, folder),
        *_oauth(fields),
    ]
    said = (
        f"gradio {fields.get('sdk_version')}, Python {fields.get('python_version')}, "
        f"{fields.get('suggested_hardware', 'no hardware')} suggested"
    )
    return faults(CHECK, found, said)


def _names(fields: Mapping[str, object]) -> Iterator[Fault]:
    for name in sorted(set(fields) - KNOWN):
        yield f"{name} is no field of a Space's", "Take it out, or write it as the reference does."
    for name in ("title", "emoji", "license"):
        if not fields.get(name):
            yield f"{name} is missing", "Add it."
    for name in ("colorFrom", "colorTo"):
        if name in fields and fields[name] not in COLOURS:
            yield f"{name} is {fields[name]!r}", f"Choose one of {', '.join(COLOURS)}."
    words = fields.get("short_description", "")
    if not isinstance(words, str) or len(words) > MAX_DESCRIPTION:
        yield (
            f"short_description has {len(str(words))} characters",
            f"Say it in {MAX_DESCRIPTION}.",
        )


def _sdk(fields: Mapping[str, object], folder: Path) -> Iterator[Fault]:
    if fields.get("sdk") != "gradio":
        yield f"sdk is {fields.get('sdk')!r}", "Write sdk: gradio."
    wanted, installed = str(fields.get("sdk_version")), version("gradio")
    if not re.fullmatch(r"\d+\.\d+\.\d+", wanted):
        yield f"sdk_version is {wanted}", f"Write a whole version, {installed}."
        return
    if wanted != installed:
        yield (
            f"sdk_version is {wanted}, and {installed} is installed and tested here",
            f"Write sdk_version: {installed}, or install and test {wanted}.",
        )
    for gradio in read_requirements(folder).get("gradio", ()):
        if wanted not in gradio.specifier:
            yield (
                f"sdk_version {wanted} is outside requirements.txt's {gradio}",
                "Make them agree: a Space installs both.",
            )


def _python(fields: Mapping[str, object]) -> Iterator[Fault]:
    wanted = fields.get("python_version")
    if not isinstance(wanted, str) or not re.fullmatch(r"3\.\d+(\.\d+)?", wanted):
        # Without quotes, YAML makes 3.1 of 3.10.
        yield f"python_version is {wanted!r}", 'Write it in quotes, python_version: "3.12".'
    elif wanted not in PYTHONS:
        yield f"python_version is {wanted}", f"Plein Air needs {PYTHONS}."
    elif wanted not in ZERO_GPU_PYTHONS:
        yield f"python_version is {wanted}, which ZeroGPU has not", 'Write "3.12".'


def _app(fields: Mapping[str, object], folder: Path) -> Iterator[Fault]:
    app_file = str(fields.get("app_file", "app.py"))
    if not (folder / app_file).is_file():
        yield f"app_file {app_file} isn't there", "Name the file that opens the page."
    if fields.get("license") and not (folder / "LICENSE").is_file():
        yield "the licence's text isn't there", "Add LICENSE."
    hardware = fields.get("suggested_hardware", SpaceHardware.CPU_BASIC.value)
    known = [flavour.value for flavour in SpaceHardware]
    if hardware not in known:
        yield f"suggested_hardware is {hardware!r}", f"Choose one of {', '.join(known)}."
    timeout = fields.get("startup_duration_timeout", "30m")
    if not re.fullmatch(r"\d+(\.\d+)?[smh]", str(timeout)):
        yield f"startup_duration_timeout is {timeout!r}", "Write it like 30m or 1h."


def _oauth(fields: Mapping[str, object]) -> Iterator[Fault]:
    scopes = fields.get("hf_oauth_scopes", [])
    if not isinstance(scopes, list) or not set(scopes) <= SCOPES:
        yield f"hf_oauth_scopes is {scopes!r}", f"Choose from {', '.join(sorted(SCOPES))}."
    elif fields.get("hf_oauth") is not True:
        yield "hf_oauth isn't true", "Without it nobody can sign in to publish."
    elif SCOPE not in scopes:
        yield f"hf_oauth_scopes lacks {SCOPE}", "Without it nobody can publish what they trained."
