"""requirements.txt: ranges, which a Space, ZeroGPU among them, can fill."""

from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from app.service.preflight.finding import Finding, faults

CHECK: Final = "requirements"
FILE: Final = "requirements.txt"

ZERO_GPU_TORCH: Final = ("2.8", "2.9", "2.10", "2.11")
"""What ZeroGPU listed when this was written; it installs one that the range admits."""

BROUGHT: Final = ("spaces",)
"""What a Gradio Space installs by itself, in the version that its hardware needs."""


def read_requirements(folder: Path) -> Mapping[str, tuple[Requirement, ...]]:
    """The requirements of `folder` by name; lines that aren't any are left out."""
    found: dict[str, tuple[Requirement, ...]] = defaultdict(tuple)
    for line in _lines(folder):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        found[requirement.name.lower()] += (requirement,)
    return found


def check_requirements(folder: Path) -> tuple[Finding, ...]:
    """Whether requirements.txt is ranges that ZeroGPU's torch and what is installed here fill."""
    if not (folder / FILE).is_file():
        return faults(CHECK, [(f"there is no {FILE}", "A Space installs what it names.")], "")
    found, lines = [], _lines(folder)
    for line in lines:
        try:
            found += _faults_of(Requirement(line))
        except InvalidRequirement:
            found.append((f"{line!r} is no requirement", "Write name>=lowest,<first beyond."))
    if "torch" not in read_requirements(folder):
        found.append(("torch is missing", "ZeroGPU chooses its version by this line."))
    torch = ", ".join(ZERO_GPU_TORCH)
    return faults(CHECK, found, f"{len(lines)} ranges; torch may be ZeroGPU's {torch}")


def _faults_of(requirement: Requirement) -> list[tuple[str, str]]:
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


def _lines(folder: Path) -> list[str]:
    path = folder / FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
