"""What the tests of the laboratories share: opening a tab, its controls, its slider over t."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from playwright.sync_api import Locator, Page, Route, expect

from app.images.encoding import png_bytes
from tools.server import Server
from tools.showcase import EXAMPLE_SEEDS

PATIENCE = 120_000

SIZES = {"desk": (1440, 900), "tablet": (768, 1024), "phone": (390, 844)}

ENLARGE = "\N{MULTIPLICATION SIGN} 4"
"""The button that paints finished pictures anew at four times their side."""

EXAMPLES = [f"seed {seed}" for seed in EXAMPLE_SEEDS]


def open_tab(page: Page, studio: Server, name: str) -> Locator:
    """Open the studio at a tab and give that tab."""
    page.goto(studio.url)
    expect(page.locator(".player").first).to_be_visible(timeout=PATIENCE)
    page.get_by_role("tab", name=name, exact=True).click()
    return page.locator(f"#{name.lower()}")


def resize(page: Page, size: str) -> int:
    """Give the page a size of SIZES, and say how wide that is."""
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    return width


def set_number(where: Locator | Page, label: str, value: float) -> None:
    """Write into a slider's or a number's field, once Gradio has settled it.

    What comes to sight is set to its first value once more, a frame after it is there.
    """
    field = where.get_by_label(label, exact=False).and_(where.locator("input[type=number]")).first
    expect(field).to_be_visible()
    field.page.evaluate(
        """async () => {
            for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
        }"""
    )
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
    return png_bytes(pixels)


def upload(tab: Locator, content: bytes, name: str = "a.png") -> None:
    """Give the tab's picker a file."""
    tab.locator(".lab-sources input[type=file]").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": content}
    )


@contextmanager
def held_back(page: Page, passing: int = 0) -> Iterator[list[Route]]:
    """Keep all but the first `passing` requests for work from the server until the block ends."""
    held: list[Route] = []
    seen: list[Route] = []

    def ask(route: Route) -> None:
        seen.append(route)
        if len(seen) > passing:
            held.append(route)
        else:
            route.continue_()

    page.route("**/queue/join*", ask)
    yield held
    for route in held:
        route.continue_()
    page.unroute("**/queue/join*")


def waited_for(page: Page, held: list[Route]) -> None:
    """Wait until something is held back."""
    for _ in range(PATIENCE // 50):
        if held:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page asked for nothing")


def asked_of(page: Page) -> list[str]:
    """The addresses that the page asks from now on; the list grows."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def to_server(asked: list[str]) -> list[str]:
    """Those of them that ask for work.

    No fonts or scripts, and not what only listens: the page's heartbeat, and the answers to what
    was asked before.
    """
    quiet = r"^data:|^blob:|/assets/|heartbeat|/queue/data\?"
    return [url for url in asked if not re.search(quiet, url)]
