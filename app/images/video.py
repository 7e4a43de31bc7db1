"""Pictures as a video, by PyAV, which not every studio has."""

import io
from collections.abc import Sequence
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from app.errors import PictureError
from app.images.arrays import Pixels
from app.images.encoding import enlarge

HELD: Final = 2
"""The seconds for which the last picture is held."""

FASTEST: Final = 50
"""The most pictures a second."""

NO_VIDEO: Final = "This studio makes no MP4."
HOW: Final = 'Whoever runs it can add PyAV: python -m pip install "av>=14,<19".'


def makes_videos() -> bool:
    """Tell whether PyAV is installed."""
    return find_spec("av") is not None


def mp4(pictures: Sequence[Pixels], *, side: int = 256, seconds: float = 6.0) -> bytes:
    """Encode pictures (H, W, 3) as an MP4 file of H.264; the last is held for 2 s.

    The last may be larger than others by a whole factor; each gets its size.

    Raises:
        PictureError: If PyAV isn't installed.
    """
    if not makes_videos():
        raise PictureError(NO_VIDEO, HOW)
    av: Any = import_module("av")
    side = max(enlarge(pictures[-1], side).size)
    rate = min(Fraction(len(pictures)) / Fraction(seconds), Fraction(FASTEST))
    rate = rate.limit_denominator(1000)
    shown = [even(np.asarray(enlarge(picture, side))) for picture in pictures]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "16"})
        stream.height, stream.width = shown[-1].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in [*shown, *[shown[-1]] * round(HELD * rate)]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def even(pixels: Pixels) -> Pixels:
    """Repeat the last row and column of (H, W, 3) where H or W is odd, which H.264 can't take."""
    height, width = pixels.shape[:2]
    return np.pad(pixels, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
