"""The files that an earlier version wrote, as `before/README.md` lists them."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BEFORE: Final = Path(__file__).parent / "before"
MODELS: Final = BEFORE / "models"
JOB: Final = "1ec631d7b7542226"
STOPPED_AT: Final = 80
STEPS: Final = 300
SET: Final = "a9be4c22afe542dcf875e78e7f9e12fd124d1bc5ad3e0859028f0fc17fe2e7f8"
COOKIE: Final = {"plein_air_owner": "an-old-visitors-token-of-forty-three-letter"}
"""Of the visitor who uploaded the set, too."""


def table(name: str) -> dict[str, Any]:
    """What one of the JSON files says."""
    found: dict[str, Any] = json.loads((BEFORE / name).read_text(encoding="utf-8"))
    return found


def text_of(png: Path, key: str) -> dict[str, Any]:
    """The JSON that a PNG carries under `key`."""
    with Image.open(png) as image:
        found: dict[str, Any] = json.loads(image.info[key])
    return found


def pixels(png: Path) -> NDArray[np.int_]:
    with Image.open(png) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int_)


def unpack_data(into: Path) -> Path:
    """The data folder, moved from `/data` to a folder in `into`."""
    # Python's own asks for a filter, which the 3.11 of before 3.11.4 doesn't know.
    archive = str(BEFORE / "data.tar.gz")
    subprocess.run(["tar", "-xzf", archive, "-C", str(into), "--no-same-owner"], check=True)
    return into / "data"


def settle(data: Path) -> Path:
    """Have the folder name itself where it named `/data`, as if it had always been there."""
    for config in (data / "jobs" / JOB).glob("**/config.json"):
        text = config.read_text(encoding="utf-8")
        text = text.replace('"/data/', f'"{data}/').replace('"/models/', f'"{MODELS}/')
        config.write_text(text, encoding="utf-8")
    return data


def variables(data: Path) -> dict[str, str]:
    """The environment of a studio with that data folder."""
    return {
        "PLEIN_AIR_DATA": str(data),
        "PLEIN_AIR_MODELS": str(MODELS),
        "PLEIN_AIR_DEVICE": "cpu",
        "PLEIN_AIR_JOB_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }


MARKS = {"plein-air/1": "plein-air/2"}
"""A recipe's format, and the one as which it is written again."""


def assert_holds(now: object, before: object) -> None:
    """Assert that `now` says all that `before` said; it may have further fields."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        assert set(before) <= set(now)
        for name, value in before.items():
            assert_holds(now[name], value)
    elif isinstance(before, list) and isinstance(now, list):
        assert len(now) == len(before)
        for ours, theirs in zip(now, before, strict=True):
            assert_holds(ours, theirs)
    else:
        assert now == (MARKS.get(before, before) if isinstance(before, str) else before)
