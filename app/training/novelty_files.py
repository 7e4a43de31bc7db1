"""The novelty index on disk: novelty.safetensors and novelty.json in the model's folder."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from app.errors import StudioError
from app.training.novelty import Control, NoveltyIndex
from app.training.reference import Painting

ARRAYS: Final = "novelty.safetensors"
NAMES: Final = "novelty.json"
FORMAT: Final = "plein-air-novelty/1"

SHAPES: Final[Mapping[str, tuple[str, str]]] = {
    "mean": ("float16", "F"),
    "basis": ("float16", "FD"),
    "codes": ("int8", "ND"),
    "hashes": ("uint8", "N8"),
    "control": ("float32", "M"),
    "control_ratio": ("float32", "M"),
}


def save_index(index: NoveltyIndex, folder: Path) -> None:
    """Write `index` into the model's `folder`; what was there stays whole until it is replaced."""
    artists = sorted({painting.artist for painting in index.paintings})
    place = {artist: i for i, artist in enumerate(artists)}
    names = {
        "artists": artists,
        "paintings": [[place[p.artist], p.title] for p in index.paintings],
    }
    text = json.dumps(names, ensure_ascii=False, separators=(",", ":")) + "\n"
    arrays = {name: np.ascontiguousarray(getattr(index, name)) for name in SHAPES}
    said = {"format": FORMAT, "weights": index.weights, "control": index.control_kind}
    unfinished = [folder / (name + ".tmp") for name in (NAMES, ARRAYS)]
    unfinished[0].write_text(text, encoding="utf-8")
    unfinished[1].write_bytes(save(arrays, said))
    for path in unfinished:
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(path.with_suffix(""))


def load_index(folder: Path, weights: str) -> NoveltyIndex | None:
    """The index in the model's `folder`; None where there is none.

    Raises:
        StudioError: If it is broken, or was built with other weights than `weights`.
    """
    path = folder / ARRAYS
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            said = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in SHAPES}
        names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        paintings = tuple(
            Painting(str(title), str(names["artists"][artist]))
            for artist, title in names["paintings"]
        )
        if said.get("format") != FORMAT or said.get("control") not in get_args(Control):
            raise ValueError("another format")
        _check_shapes(arrays, len(paintings))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, IndexError) as error:
        raise StudioError(
            f"The novelty index in {folder} can't be read.",
            f"Build it again with python -m app index {folder.name}.",
        ) from error
    if said["weights"] != weights:
        raise StudioError(
            f"The novelty index in {folder} was built with other weights.",
            f"Build it again with python -m app index {folder.name}.",
        )
    kind: Any = said["control"]
    return NoveltyIndex(weights=weights, control_kind=kind, paintings=paintings, **arrays)


def _check_shapes(arrays: Mapping[str, NDArray[Any]], count: int) -> None:
    """Raise ValueError where two arrays disagree about a size, or a dtype is wrong."""
    sizes = {"N": count, "8": 8}
    for name, (dtype, axes) in SHAPES.items():
        array = arrays[name]
        if array.dtype.name != dtype or array.ndim != len(axes) or 0 in array.shape:
            raise ValueError(name)
        for axis, size in zip(axes, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(name)
