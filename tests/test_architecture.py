"""The house: who may import whom, no circles, every file in the order of the folders."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import ROOT

ORDER = (
    *("errors", "files", "locks", "owners", "settings", "confined", "limits", "documents"),
    *("fields", "diffusion", "networks", "images", "models", "datasets", "painting", "novelty"),
    *("laboratory", "training", "evaluation", "jobs", "hub", "static", "studio", "ui", "cli"),
    "__main__",
)
"""What stands in app/, bottom to top: each may import itself and those before it."""

FILES = sorted((ROOT / "app").rglob("*.py"))


def place(module: str) -> int:
    """How high the folder or file of `module`, as app.x.y, stands."""
    return ORDER.index(module.split(".")[1])


def name_of(file: Path) -> str:
    """The module's name: app.x.y."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(file): file for file in FILES}


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """The modules of app/ that import statements among `nodes` name."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("app"):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in NAMES else node.module for name in whole}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("app.")}
    return found - {"app"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT / "app")))
def test_a_file_imports_only_from_its_own_folder_and_those_below(file: Path) -> None:
    module = name_of(file)
    if module == "app":
        return
    used = imported(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    assert not {name for name in used if place(name) > place(module)}


def test_no_module_imports_itself_by_way_of_others() -> None:
    ahead = {
        name: imported(iter(ast.parse(file.read_text(encoding="utf-8")).body))
        for name, file in NAMES.items()
    }
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " > ".join((*way, name))
        if name not in done:
            for other in sorted(ahead[name]):
                follow(other, (*way, name))
            done.add(name)

    for name in NAMES:
        follow(name, ())


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for name, file in NAMES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name)
    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_the_product_imports_no_tool() -> None:
    for file in FILES:
        assert "tools." not in {
            f"{node.module}."[:6]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        }
