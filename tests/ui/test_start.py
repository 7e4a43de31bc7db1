"""What the page waits for before it answers."""

import subprocess
import sys

from app.settings import ROOT

LATER = ("diffusers", "openvino", "scipy", "torch._dynamo", "matplotlib.pyplot", "av", "dbos")


def test_the_page_is_built_without_what_only_a_network_needs() -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from app.settings import Settings; from app.studio import Studio; "
            "from app.ui.page import build; build(Studio(Settings())); "
            f"print([name for name in {LATER!r} if name in sys.modules])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines()[-1] == "[]"
