"""Whether everything can be imported where nothing but requirements.txt is installed."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from app.service.preflight.finding import Finding
from app.service.preflight.requirements import FILE
from app.settings import environment_with

CHECK: Final = "clean imports"
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
    python, which = find_python()
    with TemporaryDirectory(prefix="plein-air-preflight-") as place:
        environment = Path(place) / "environment"
        clean = str(environment / "bin" / "python")
        steps = [
            [*python, "-m", "venv", str(environment)],
            *([_pip(clean, shlex.split(torch))] if torch else []),
            _pip(clean, ["--requirement", str(folder / FILE)]),
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
                return Finding(CHECK, False, f"{which}: {said[-1]}", f"By: {shlex.join(step[1:])}")
    return Finding(CHECK, True, f"{which}: {done.stdout.strip()}", _note(which))


def find_python() -> tuple[list[str], str]:
    """The Python that a Space has if there is one, else this one; and what it is called."""
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


def _note(which: str) -> str:
    if which.startswith(f"Python {WANTED}"):
        return ""
    return f"A Space has Python {WANTED}: put python{WANTED} or uv on the PATH to try that."
