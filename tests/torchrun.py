"""Two processes of `python -m app ...`, as torchrun starts them."""

import subprocess
import sys

from app.settings import ROOT


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the arguments in two processes and wait for their end; the output is that of both."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
