"""Files made to harm their reader, sent to a page that others use meanwhile."""

import io
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from app.ui.middleware import COOKIE
from tests.images.test_headers import apng
from tests.images.test_reading import saved, scanned
from tests.training.tiny import save_pictures
from tools.server import Server

pytestmark = pytest.mark.e2e

GROWTH: int = 100_000_000
"""The bytes by which the page's process may grow."""


def view(client: Client, file: Path) -> str:
    """What the studio says to a picture: the name of its answer, or why there is none."""
    try:
        return Path(client.predict(handle_file(file), api_name="/model_view")).name
    except AppError as error:
        return str(error)


def look_at_all(studio: Server, files: list[Path]) -> tuple[list[str], int, float]:
    """Send `files` at once; return what is said, how the page grew, and its slowest answer."""
    page = psutil.Process(studio.pid)
    clients = [Client(studio.url, verbose=False) for _ in files]
    watcher = Client(studio.url, verbose=False)
    watcher.predict(api_name="/models")
    before, most, slowest = page.memory_info().rss, 0, 0.0
    with ThreadPoolExecutor(len(files)) as pool:
        answers = [pool.submit(view, *each) for each in zip(clients, files, strict=True)]
        while not all(answer.done() for answer in answers):
            begun = time.monotonic()
            watcher.predict(api_name="/models")
            slowest = max(slowest, time.monotonic() - begun)
            most = max(most, page.memory_info().rss - before)
    return [answer.result() for answer in answers], most, slowest


def test_what_a_header_gives_away_costs_nothing(studio: Server, tmp_path: Path) -> None:
    webp = bytearray(saved(Image.new("RGB", (8, 8)), "webp", icc_profile=b"extended"))
    webp[24:30] = b"\xfe\x3f\0\xfe\x3f\0"  # 16,383 a side
    files = []
    for name, data in (("a.png", apng(22_000)), ("b.webp", bytes(webp)), ("c.jpg", scanned(700))):
        (tmp_path / name).write_bytes(data)
        files.append(tmp_path / name)
    with (tmp_path / "d.png").open("wb") as file:
        file.write(b"\x89PNG")
        file.truncate(60_000_000)
    said, growth, slowest = look_at_all(studio, [*files, tmp_path / "d.png"])
    reasons = ("22,000 x 22,000 pixels", "16,383 x 16,383 pixels", "700 times", "30 MB")
    for reason, words in zip(reasons, said, strict=True):
        assert reason in words
    assert growth < GROWTH
    assert slowest < 5


@pytest.mark.slow
def test_four_of_the_largest_at_once_leave_the_page_as_it_was(
    studio: Server, tmp_path: Path
) -> None:
    data = io.BytesIO()
    Image.new("I;16", (8_300, 6_000), 30_000).save(data, "png")
    files = [tmp_path / f"{i}.png" for i in range(4)]
    for file in files:
        file.write_bytes(data.getvalue())
    said, growth, slowest = look_at_all(studio, files)
    assert all(words.endswith(".png") for words in said), said
    assert growth < GROWTH
    assert slowest < 5


def test_equal_uploads_of_two_visitors_are_used_by_both(studio: Server, tmp_path: Path) -> None:
    files = [handle_file(path) for path in sorted(save_pictures(tmp_path, 5).rglob("*.png"))]
    visitors = [
        Client(studio.url, verbose=False, headers={"cookie": f"{COOKIE}={letter * 43}"})
        for letter in "xy"
    ]
    for visitor in visitors:
        for _ in range(2):
            found = visitor.predict(files=files, api_name="/upload_pictures")
            assert len(found["pictures"]) == 5


def test_an_upload_that_is_broken_off_leaves_nothing(studio: Server) -> None:
    address, others = urlsplit(studio.url), uploaded_bytes(studio)
    with socket.create_connection((address.hostname, address.port or 80)) as broken:
        head = (
            "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            'Content-Disposition: form-data; name="files"; filename="a.zip"\r\n\r\n'
        )
        broken.sendall(head.encode() + bytes(20_000_000))
        wait_until(lambda: uploaded_bytes(studio) > others + 10_000_000)
    wait_until(lambda: uploaded_bytes(studio) <= others)


def uploaded_bytes(studio: Server) -> int:
    """The bytes that lie in the folder of the studio's uploads."""
    temporary = Path(psutil.Process(studio.pid).environ()["GRADIO_TEMP_DIR"])
    sizes = 0
    for path in (temporary / "uploads").rglob("*"):
        with suppress(FileNotFoundError):
            sizes += path.stat().st_size
    return sizes


def wait_until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)
