"""`python -m app`: the studio's work from a shell."""

import sys
from importlib import import_module
from typing import Final

import typer

from app.settings import spin_briefly
from app.shell.faults import told

COMMANDS: Final = (
    "serve", "paint", "train", "export", "noise", "mix", "bound",
    "models", "push", "evaluate", "index", "bench", "showcase", "api",
    "worker", "jobs", "preflight", "regroup",
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
    # Only the command that runs is imported in full: each brings libraries that take seconds.
    wanted = [name for name in COMMANDS if name in arguments[:1]] or COMMANDS
    for name in wanted:
        studio.command(name)(import_module(f"app.shell.{name}").command)
    if len(wanted) == 1:
        studio.callback()(lambda: None)  # keeps a lone command a sub-command
    with told():
        studio(arguments)


if __name__ == "__main__":
    main()
