"""`python -m app`: the studio's work from a shell."""

import ast
import sys
from importlib import import_module
from types import NoneType
from typing import Annotated, Final

import typer
from pydantic.fields import FieldInfo

from app.cli.errors import errors_to_shell
from app.fields import bounds, choices, expanded, kinds, within
from app.settings import ROOT, spin_briefly

COMMANDS: Final = (
    "serve", "paint", "sheet", "train", "export", "enlarge", "noise", "mix",
    "bound",    "models", "push", "evaluate", "index", "worker", "jobs", "preflight", "regroup",
    "variances", "static", "search-steps",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Run the command that `arguments`, by default the process's own, name."""
    spin_briefly()
    arguments = sys.argv[1:] if arguments is None else arguments
    studio = typer.Typer(
        name="python -m app",
        help="Plein Air: an open-air studio for denoising diffusion.",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    # Only the command that runs is imported: most bring libraries that take seconds.
    arguments = arguments[1:] if arguments[:1] == ["--"] else arguments
    wanted = [name for name in COMMANDS if name in arguments[:1]]
    for name in wanted or COMMANDS:
        command = import_module(f"app.cli.{_module(name)}").command if wanted else lambda: None
        studio.command(name, help=_words(name))(expanded(command, _option))
    if wanted:
        studio.callback()(lambda: None)  # keeps a lone command a sub-command
    with errors_to_shell():
        studio(arguments)


def _module(name: str) -> str:
    return name.replace("-", "_")


def _words(name: str) -> str | None:
    """Read what a command says that it does, without importing it."""
    source = (ROOT / "app" / "cli" / f"{_module(name)}.py").read_text(encoding="utf-8")
    functions = [it for it in ast.parse(source).body if isinstance(it, ast.FunctionDef)]
    return next(ast.get_docstring(it) for it in functions if it.name == "command")


def _option(it: FieldInfo, words: str) -> object:
    """Make the option that stands for a field; its value is checked with the whole recipe."""
    of = f" One of {', '.join(choices(it))}." if choices(it) else ""
    kind, *others = kinds(it)
    how = typer.Option(help=f"{words}{of}{within(*bounds(it))}")
    return Annotated[kind | None if NoneType in others else kind, how]


if __name__ == "__main__":
    main()
