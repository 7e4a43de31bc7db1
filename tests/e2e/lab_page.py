"""What the tests of the laboratories share: opening a tab, its controls, its slider over t."""

import io
import re

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from app.shell.server import Server

PATIENCE = 60_000


def open_tab(page: Page, studio: Server, name: str) -> Locator:
    """Open the studio at a tab and give that tab."""
    page.goto(studio.url)
    expect(page.locator(".player").first).to_be_visible(timeout=PATIENCE)
    page.get_by_role("tab", name=name, exact=True).click()
    return page.locator(f"#{name.lower()}")


def set_number(tab: Locator, label: str, value: float) -> None:
    """Write into a slider's or a number's field."""
    field = tab.get_by_label(label, exact=False).and_(tab.locator("input[type=number]")).first
    field.fill(str(value))
    field.press("Tab")


def go_to(tab: Locator, t: int, total: int = 1000) -> None:
    """Move the slider over t by keys."""
    slider = tab.locator(".plein-air-time [role=slider]")
    slider.press("Home")
    for _ in range((total - t) // 10):
        slider.press("Shift+ArrowRight")
    for _ in range((total - t) % 10):
        slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", str(t))


def drag(page: Page, tab: Locator, shares: list[float]) -> None:
    """Drag the slider over t through shares of its track, from noise (0) to picture (1)."""
    track = tab.locator(".plein-air-time .lab-track").bounding_box()
    assert track is not None
    middle = track["y"] + track["height"] / 2
    page.mouse.move(track["x"] + track["width"] * shares[0], middle)
    page.mouse.down()
    for share in shares:
        page.mouse.move(track["x"] + track["width"] * share, middle)
    page.mouse.up()


def colour(page: Page, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[int, ...]:
    """The colour of a canvas at a place in it."""
    rgb = page.evaluate(
        """([selector, x, y]) => {
            const canvas = document.querySelector(selector);
            const at = [Math.floor(canvas.width * x), Math.floor(canvas.height * y)];
            return [...canvas.getContext("2d").getImageData(...at, 1, 1).data.slice(0, 3)];
        }""",
        [selector, x, y],
    )
    return tuple(rgb)


def near(seen: tuple[int, ...], wanted: tuple[int, ...], tolerance: int = 12) -> bool:
    """Whether two colours look alike."""
    return all(abs(a - b) <= tolerance for a, b in zip(seen, wanted, strict=True))


def wide_picture() -> bytes:
    """A red square between two blue ones: cropped it is red, squashed it has blue sides."""
    pixels = np.zeros((40, 120, 3), dtype=np.uint8)
    pixels[:, :, 2] = 200
    pixels[:, 40:80] = (200, 0, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def upload(tab: Locator, content: bytes, name: str = "a.png") -> None:
    """Give the tab's picker a file."""
    tab.locator(".lab-sources input[type=file]").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": content}
    )


def asked_of(page: Page) -> list[str]:
    """The addresses that the page asks from now on; the list grows."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def to_server(asked: list[str]) -> list[str]:
    """Those of them that ask for work: no fonts or scripts, and not the page's own heartbeat."""
    return [url for url in asked if not re.search(r"^data:|^blob:|/assets/|heartbeat", url)]
