"""The page's entry, on a laptop and on a Space: settings -> studio -> page -> launch."""

from app.cli.errors import errors_to_shell
from app.cli.serve import command
from app.settings import spin_briefly

if __name__ == "__main__":
    spin_briefly()
    with errors_to_shell():
        command()
