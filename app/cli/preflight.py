"""`python -m app preflight`: see that the repository is ready to be a Space."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
import yaml
from huggingface_hub import RepoCard, SpaceHardware, metadata_load
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from app.errors import HubError, UnreachableError
from app.settings import ROOT, environment_with


@dataclass(frozen=True)
class Finding:
    """The finding of one check.

    Attributes:
        check: The name of the check.
        ok: Whether all is as a Space needs it.
        said: What the check found.
        hint: What to do; empty if nothing needs doing.
    """

    check: str
    ok: bool
    said: str
    hint: str = ""


Fault = tuple[str, str]
"""What is wrong, and what to do."""


def _findings(check: str, faults: Sequence[Fault], said: str = "") -> tuple[Finding, ...]:
    """Make a Finding of each fault, or one that says `said` if there are none."""
    if not faults:
        return (Finding(check, True, said),)
    return tuple(Finding(check, False, fault, hint) for fault, hint in faults)


REQUIREMENTS: Final = "requirements.txt"

ZERO_GPU_TORCH: Final = ("2.8", "2.9", "2.10", "2.11")
"""ZeroGPU's versions of torch at the time of writing; it installs one that the range admits."""

BROUGHT: Final = ("spaces",)
"""The packages that a Gradio Space installs by itself, in the version its hardware needs."""


def _requirements(folder: Path) -> Iterator[Requirement | str]:
    """Yield the requirements of `folder`; a line that is none as it is written."""
    path = folder / REQUIREMENTS
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        words = line.partition(" #")[0].strip()
        if words and not words.startswith("#"):
            try:
                yield Requirement(words)
            except InvalidRequirement:
                yield words


def _named(name: str, found: Iterable[Requirement | str]) -> list[Requirement]:
    return [it for it in found if isinstance(it, Requirement) and it.name.lower() == name]


def check_requirements(folder: Path) -> tuple[Finding, ...]:
    """Check that requirements.txt has ranges that admit ZeroGPU's torch and the packages here."""
    check = "requirements"
    if not (folder / REQUIREMENTS).is_file():
        fault = (f"there is no {REQUIREMENTS}", "A Space installs what it names.")
        return _findings(check, [fault])
    found, ranges = [], list(_requirements(folder))
    for each in ranges:
        if isinstance(each, str):
            found.append((f"{each!r} is no requirement", "Write name>=lowest,<first beyond."))
        else:
            found += _faults_of(each)
    if not _named("torch", ranges):
        found.append(("torch is missing", "ZeroGPU chooses its version by this line."))
    torch = ", ".join(ZERO_GPU_TORCH)
    return _findings(check, found, f"{len(ranges)} ranges; torch may be ZeroGPU's {torch}")


def _faults_of(requirement: Requirement) -> list[Fault]:
    found = []
    operators = {specifier.operator for specifier in requirement.specifier}
    if requirement.name in BROUGHT:
        found.append((f"{requirement.name} is named", "Take it out: Spaces bring their own."))
    elif not operators & {">=", ">"} or not operators & {"<", "<="} or operators & {"==", "==="}:
        found.append((f"{requirement} is no range", "Write name>=lowest,<first beyond."))
    if requirement.name == "torch":
        missing = [v for v in ZERO_GPU_TORCH if f"{v}.0" not in requirement.specifier]
        if missing:
            said = f"{requirement} leaves out {', '.join(missing)}, which ZeroGPU lists"
            found.append((said, "Widen the range."))
    try:
        here = version(requirement.name).partition("+")[0]
    except PackageNotFoundError:
        found.append((f"{requirement.name} isn't installed here", "Install what is required."))
    else:
        if not requirement.specifier.contains(here, prereleases=True):
            found.append((f"{requirement} leaves out {here}, which is tested here", "Widen it."))
    return found


MAX_DESCRIPTION: Final = 60
COLOURS: Final = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SCOPE: Final = "contribute-repos"
"""The OAuth scope with which a signed-in visitor can publish from the page."""

PYTHONS: Final = SpecifierSet(">=3.11")
ZERO_GPU_PYTHONS: Final = SpecifierSet(">=3.12,<3.13")

SCOPES: Final = frozenset(
    {
        "openid", "profile", "email", "read-billing", "read-repos", "gated-repos",
        "contribute-repos", "write-repos", "manage-repos", "inference-api", "jobs", "webhooks",
        "write-discussions", "read-mcp", "read-collections", "write-collections",
    }
)  # fmt: skip


def check_front_matter(folder: Path, *, online: bool = False) -> tuple[Finding, ...]:
    """Check that the README in `folder` says what a Space needs; `online` asks the Hub, too."""
    check, readme, fields = "front matter", folder / "README.md", None
    try:
        fields = metadata_load(readme)
        fault = ("README.md has none", "Begin it with --- and sdk: gradio.")
    except OSError:
        fault = ("there is no README.md", "A Space is set up by its head.")
    except (ValueError, yaml.YAMLError) as error:
        said = f"README.md begins with no YAML ({str(error).splitlines()[0]})"
        fault = (said, "Mend the lines between the two ---.")
    if not fields:
        return _findings(check, [fault])
    found = [
        *_names(fields),
        *_sdk(fields, folder),
        *_python(fields),
        *_app(fields, folder),
        *_oauth(fields),
        *(_refusals(readme) if online else ()),
    ]
    said = (
        f"gradio {fields.get('sdk_version')}, Python {fields.get('python_version')}, "
        f"{fields.get('suggested_hardware', 'no hardware')} suggested"
        f"{', and the Hub takes it' * online}"
    )
    return _findings(check, found, said)


def _names(fields: Mapping[str, object]) -> Iterator[Fault]:
    for name in ("title", "emoji", "license"):
        if not fields.get(name):
            yield f"{name} is missing", "Add it."
    for name in ("colorFrom", "colorTo"):
        if name in fields and fields[name] not in COLOURS:
            yield f"{name} is {fields[name]!r}", f"Choose one of {', '.join(COLOURS)}."
    words = fields.get("short_description", "")
    if not isinstance(words, str) or len(words) > MAX_DESCRIPTION:
        said = f"short_description has {len(str(words))} characters"
        yield said, f"Say it in {MAX_DESCRIPTION}."


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
    for each in _named("gradio", _requirements(folder)):
        if wanted not in each.specifier:
            said = f"sdk_version {wanted} is outside requirements.txt's {each}"
            yield said, "Make them agree: a Space installs both."


def _python(fields: Mapping[str, object]) -> Iterator[Fault]:
    wanted = fields.get("python_version")
    if not isinstance(wanted, str) or not re.fullmatch(r"3\.\d+(\.\d+)?", wanted):
        # Without quotes, YAML reads 3.10 as 3.1.
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


def _refusals(readme: Path) -> Iterator[Fault]:
    """Ask the Hub, which alone knows all fields of a Space, and yield its refusals."""
    from app.hub.errors import hub_faults  # brings the models' libraries
    from app.hub.repository import HubId

    try:
        with hub_faults(HubId("the front matter")):
            RepoCard(readme.read_text(encoding="utf-8")).validate(repo_type="space")
    except UnreachableError:
        yield (
            "the Hub can't be asked",
            "Connect to the network (HF_HUB_OFFLINE must not be 1), or leave out --online.",
        )
    except HubError as error:
        yield error.message, error.hint
    except ValueError as error:
        # The Hub answers with several lines, some of them "- Error: ...".
        for fault in re.findall(r"^- Error: (.+)$", str(error), re.MULTILINE) or [str(error)]:
            yield f"the Hub refuses it: {fault}", "Write it as the Hub's reference of Spaces does."


LARGE: Final = 10_000_000
"""The size in bytes from which the Hub takes a file only by LFS or Xet."""

ROOM: Final = 1_000_000_000
"""The bytes that a Space's repository may hold before the Hub asks for a paid plan."""

POINTER: Final = b"version https://git-lfs.github.com/spec/"
UPLOAD: Final = "hf upload OWNER/plein-air . . --type space"


def check_sizes(folder: Path) -> tuple[Finding, ...]:
    """Check for files too large for git push, mere pointers to large files, and the total size."""
    check = "file sizes"
    try:
        files = _files(folder)
    except FileNotFoundError:
        fault = ("git isn't there", "Put git on the PATH: it knows which files go to the Space.")
        return _findings(check, [fault])
    sizes = {path: (folder / path).stat().st_size for path in files}
    found = [
        (
            f"{path} is only a pointer to a large file",
            f"Get it first: git lfs pull --include {path}",
        )
        for path in sizes
        if _is_pointer(folder / path)
    ]
    total = sum(sizes.values())
    if total > ROOM:
        largest = max(sizes, key=lambda path: sizes[path])
        said = f"{total / 1e9:.1f} GB together, of which {largest} is the largest"
        found.append((said, "Keep models in repositories of their own on the Hub."))
    if found or not sizes:
        return _findings(check, found or [("there are no files", "Name the repository's folder.")])
    large = [f"{path} ({size / 1e6:.0f} MB)" for path, size in sizes.items() if size > LARGE]
    said = f"{len(sizes)} files, {total / 1e6:.0f} MB; over 10 MB: {', '.join(large) or 'none'}"
    hint = f"git push is refused with these: {UPLOAD}" if large else ""
    return (Finding(check, True, said, hint),)


def _files(folder: Path) -> list[str]:
    """List the files that git tracks, or all files if git tracks none."""
    listed = subprocess.run(
        ["git", "-C", str(folder), "ls-files", "-z"], capture_output=True, check=False
    )
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else []
    tracked = [name for name in names if (folder / name).is_file()]
    if tracked:
        return tracked
    every = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [path.as_posix() for path in every if path.parts[0] != ".git"]


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER


WANTED: Final = "3.12"

IMPORT_ALL: Final = """
import importlib, pkgutil
import app
found = pkgutil.walk_packages(app.__path__, "app.")
names = sorted(each.name for each in found if each.name != "app.__main__")
for name in names:
    importlib.import_module(name)
print(len(names), "modules")
"""


def check_imports(folder: Path, torch: str = "") -> Finding:
    """Install requirements.txt into a new environment, and import all of `app` there.

    Args:
        folder: The repository.
        torch: The build of torch to install first, in pip's words; empty for PyPI's.
    """
    check, (python, which) = "clean imports", find_python()
    with TemporaryDirectory(prefix="plein-air-preflight-") as place:
        environment = Path(place) / "environment"
        clean = str(environment / "bin" / "python")
        steps = [
            [*python, "-m", "venv", str(environment)],
            *([_pip(clean, shlex.split(torch))] if torch else []),
            _pip(clean, ["--requirement", str(folder / REQUIREMENTS)]),
            [clean, "-c", IMPORT_ALL],
        ]
        for step in steps:
            done = subprocess.run(
                step,
                cwd=folder,
                env=environment_with({"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                said = done.stderr.strip().splitlines() or ["no reason given"]
                return Finding(check, False, f"{which}: {said[-1]}", f"By: {shlex.join(step[1:])}")
    note = f"A Space has Python {WANTED}: put python{WANTED} or uv on the PATH to try that."
    hint = "" if which.startswith(f"Python {WANTED}") else note
    return Finding(check, True, f"{which}: {done.stdout.strip()}", hint)


def find_python() -> tuple[list[str], str]:
    """Find the command of a Space's Python, or else of this one, and its name with the version."""
    for command in (
        [f"python{WANTED}"],
        ["uv", "run", "--no-project", "--python", WANTED, "python"],
    ):
        try:
            told = subprocess.run(
                [*command, "-c", "import ensurepip, venv, sys; print(sys.version.split()[0])"],
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if told.returncode == 0:
            return command, f"Python {told.stdout.strip()}"
    return [sys.executable], f"Python {sys.version.split()[0]}"


def _pip(python: str, arguments: Sequence[str]) -> list[str]:
    return [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]


def command(
    folder: Annotated[
        Path | None, typer.Argument(help="The repository; by default this one.")
    ] = None,
    clean_imports: Annotated[
        bool, typer.Option(help="Import all in a new environment too, which takes minutes.")
    ] = True,
    torch: Annotated[
        str, typer.Option(help="The build of torch for it, in pip's words, as the Makefile says.")
    ] = "",
    online: Annotated[
        bool, typer.Option("--online", help="Let the Hub itself look at the front matter too.")
    ] = False,
) -> None:
    """Look at front matter, requirements, file sizes and imports; each line says what to do."""
    folder = folder or ROOT
    ready = True
    for finding in (
        *check_front_matter(folder, online=online),
        *check_requirements(folder),
        *check_sizes(folder),
    ):
        ready &= _tell(finding)
    if clean_imports:
        typer.echo("installing into a new environment", err=True)
        ready &= _tell(check_imports(folder, torch))
    if not ready:
        raise typer.Exit(1)


def _tell(finding: Finding) -> bool:
    typer.echo(f"{'ok  ' if finding.ok else 'no  '}{finding.check:14}{finding.said}")
    if finding.hint:
        typer.echo(f"{'':18}{finding.hint}")
    return finding.ok
