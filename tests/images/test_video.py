"""Pictures as a video: with PyAV a film of them, without it a sentence."""

import io

import numpy as np
import pytest

from app.errors import PictureError
from app.images import video
from app.images.arrays import Pixels
from app.images.video import mp4


def fading(side: int = 17) -> list[Pixels]:
    return [np.full((side, side, 3), (20 * n, 100, 200), np.uint8) for n in range(12)]


def test_a_video_shows_each_picture_in_turn_and_holds_the_last() -> None:
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(mp4(fading()))) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.duration / av.time_base == pytest.approx(8)
    assert len(frames) == 16
    for n, frame in enumerate(frames):
        middle = frame[frame.shape[0] // 2, frame.shape[1] // 2].astype(int)
        assert np.abs(middle - fading()[min(n, 11)][0, 0]).max() <= 8


def test_a_studio_without_pyav_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "find_spec", lambda _: None)
    with pytest.raises(PictureError, match="makes no MP4"):
        mp4(fading())
