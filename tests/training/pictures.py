"""Pictures for the tests: smooth, all different, and none of them anybody's."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def landscapes(count: int, size: int = 16, seed: int = 0) -> Pixels:
    """`count` pictures of coloured clouds, coarse ones and finer ones, (count, size, size, 3)."""
    rng = np.random.default_rng(seed)
    total = np.full((count, size, size, 3), 128.0)
    for cells in (2, 4, 8):
        clouds = rng.integers(0, 256, (count, cells, cells, 3), dtype=np.uint8)
        layers = [Image.fromarray(c).resize((size, size), Image.Resampling.BICUBIC) for c in clouds]
        total += (np.stack([np.asarray(layer) for layer in layers]) - 128.0) * 0.8 / cells**0.5
    return np.asarray(np.clip(total, 0, 255), dtype=np.uint8)


def save_pictures(folder: Path, pictures: Pixels) -> Path:
    """Write `pictures` as PNGs called like paintings."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"painter__the-field-{i:02}-1890.png")
    return folder
