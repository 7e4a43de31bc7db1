"""Strangers' pictures are read elsewhere: what harms a reader ends the reader, and nothing else."""

import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from app.errors import PictureError
from app.images import reader
from app.images.reader import Readers
from app.images.reading import FITS, read_picture, square
from tests.images.test_headers import apng
from tests.images.test_reading import png, saved, scanned


@pytest.fixture
def readers() -> Iterator[Readers]:
    made = Readers()
    yield made
    made.close()


def photo(megapixels: float) -> bytes:
    side = round((megapixels * 1e6) ** 0.5)
    noise = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    return saved(Image.fromarray(noise).resize((side, side)), "jpeg")


def test_a_reader_gives_what_reading_here_would(readers: Readers, tmp_path: Path) -> None:
    data = photo(0.1)
    (tmp_path / "a.jpg").write_bytes(data)
    here, needed = read_picture(data), read_picture(data, needed_side=64)
    for picture in (data, tmp_path / "a.jpg"):
        there = readers.squares(picture, [(64, fit) for fit in FITS])
        for fit, image in zip(FITS, there, strict=True):
            assert image.tobytes() == square(needed, 64, fit).tobytes()
    assert readers.whole(data, 1024).tobytes() == here.tobytes()


def test_a_refusal_comes_back_and_the_reader_stays(readers: Readers) -> None:
    readers.warm_up()
    kept = readers._idle
    damaged = photo(0.1)[:900]
    with pytest.raises(PictureError, match="damaged"):
        readers.squares(damaged, [(64, "crop")])
    with pytest.raises(PictureError, match="stretch"):
        readers.squares(photo(0.1), [(64, "stretch")])  # type: ignore[list-item]
    assert readers._idle is kept


def test_one_visitors_pictures_leave_a_reader_to_others(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PATIENCE", 20)
    readers.asks = lambda: "one"
    with readers._reader():
        monkeypatch.setattr(reader, "PATIENCE", 0.1)
        with pytest.raises(PictureError, match="Other pictures of yours"):
            readers.squares(photo(0.1), [(64, "crop")])
        monkeypatch.setattr(reader, "PATIENCE", 20)
        readers.asks = lambda: "another"
        assert readers.squares(photo(0.1), [(64, "crop")])
    readers.asks = lambda: "one"
    assert readers.squares(photo(0.1), [(64, "crop")])


def test_a_picture_that_takes_too_much_memory_ends_its_reader_alone(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MEMORY", 300 << 20)
    large = saved(Image.new("RGB", (6_000, 6_000)), "png")
    with pytest.raises(PictureError, match="too much memory or time"):
        readers.squares(large, [(64, "crop")])
    assert readers.squares(photo(0.1), [(64, "crop")])[0].size == (64, 64)


def test_a_picture_that_takes_too_long_ends_its_reader_alone(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SECONDS", 1)
    whole = saved(Image.new("RGB", (7_000, 7_000)), "jpeg", quality=1, progressive=True)
    again = whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * 85 + whole[-2:]
    begun = time.monotonic()
    with pytest.raises(PictureError, match="too much memory or time"):
        readers.whole(again, 7_000)
    assert time.monotonic() - begun < 20
    assert readers.squares(photo(0.1), [(64, "crop")])[0].size == (64, 64)


def test_a_reader_that_was_killed_is_replaced(readers: Readers) -> None:
    readers.warm_up()
    assert readers._idle
    readers._idle._process.kill()
    readers._idle._process.wait()
    assert readers.squares(photo(0.1), [(64, "crop")])[0].size == (64, 64)


def test_a_process_that_was_forked_has_readers_of_its_own(readers: Readers) -> None:
    readers.warm_up()
    child = os.fork()
    if not child:
        size = readers.squares(photo(0.1), [(64, "crop")])[0].size
        readers.close()
        os._exit(size != (64, 64))
    assert os.waitpid(child, 0)[1] == 0
    assert readers.squares(photo(0.1), [(64, "crop")])[0].size == (64, 64)


def test_two_are_read_at_once_and_the_worst_take_no_memory_here(readers: Readers) -> None:
    deep = png((8_000, 6_000), 16, 0, b"")
    grey = io.BytesIO()
    Image.new("I;16", (5_000, 4_000), 30_000).save(grey, "png")
    worst = [apng(22_000), deep, scanned(700), grey.getvalue(), grey.getvalue(), grey.getvalue()]
    here = psutil.Process()

    def read(data: bytes) -> str:
        try:
            return str(readers.squares(data, [(256, "crop")])[0].size)
        except PictureError as error:
            return error.message

    before, others = here.memory_info().rss, {child.pid for child in here.children()}
    with ThreadPoolExecutor(len(worst)) as pool:
        answers = [pool.submit(read, data) for data in worst]
        grown, children = [], []
        while not all(answer.done() for answer in answers):
            grown.append(here.memory_info().rss - before)
            children.append(len({child.pid for child in here.children()} - others))
            time.sleep(0.02)
    assert [answer.result() for answer in answers[3:]] == ["(256, 256)"] * 3
    assert all("(" not in answer.result() for answer in answers[:3])
    assert max(grown) < 20_000_000
    assert max(children) == 2


def test_of_a_large_jpeg_no_more_is_decoded_than_is_needed(readers: Readers) -> None:
    small = np.random.default_rng(0).integers(0, 256, (15, 20, 3)).astype(np.uint8)
    large = Image.fromarray(small).resize((6000, 4500), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    large.save(buffer, "jpeg", quality=92)
    data = buffer.getvalue()
    decoded = read_picture(data, needed_side=256)
    assert decoded.size == (750, 563), "an eighth, and still over twice the side that is needed"
    wanted = square(large, 256)
    (found,) = readers.squares(data, [(256, "crop")])
    difference = np.asarray(found, np.int16) - np.asarray(wanted, np.int16)
    assert np.abs(difference).mean() < 1.5
    assert read_picture(data).size == large.size
