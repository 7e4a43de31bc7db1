"""A picture to start from, and a mask with a hole in it, as files."""

from pathlib import Path

import numpy as np
from PIL import Image

from app.images.arrays import Pixels


def save_picture_and_mask(folder: Path) -> tuple[Path, Path, Pixels, Pixels]:
    """Write 64 px of seeded noise and a mask; return both files, and what of the picture stays.

    Returns:
        source, mask, pixels (64, 64, 3) and white (64, 64), 0 where the picture stays.
    """
    source, mask = folder / "source.png", folder / "mask.png"
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    white = np.zeros((64, 64), dtype=np.uint8)
    white[16:48, 8:40] = 255
    Image.fromarray(pixels).save(source)
    Image.fromarray(white).save(mask)
    return source, mask, pixels, white
