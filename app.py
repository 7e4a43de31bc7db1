"""The page's entry, on a laptop and on a Space: settings -> studio -> page -> launch."""

from app.settings import spin_briefly
from app.shell.faults import told
from app.shell.serve import command

if __name__ == "__main__":
    spin_briefly()
    with told():
        command()
