"""Imports run one way."""

import ast
from pathlib import Path

import pytest

from app.settings import ROOT

LAYERS = ("diffusion", "engine", "training", "service", "ui")
"""Each may import those before it; the shell may import all."""


def imported_layers(module: Path) -> set[str]:
    """The layers that `module` imports from."""
    names = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    parts = [name.split(".") for name in names if name.startswith("app.")]
    return {part[1] for part in parts} & {*LAYERS, "shell"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_those_below_it(layer: str) -> None:
    allowed = set(LAYERS[: LAYERS.index(layer) + 1])
    modules = list((ROOT / "app" / layer).rglob("*.py"))
    assert modules
    for module in modules:
        assert imported_layers(module) <= allowed, module.relative_to(ROOT)
