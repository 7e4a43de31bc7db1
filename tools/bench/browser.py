"""The page without a server, measured in a real Chromium beside `exact` in this process."""

import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from app.errors import StudioError
from app.painting.recipe import Recipe

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from app.studio import Studio

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
LONGEST: Final = 300_000
"""Milliseconds that a download or a painting may take."""

# Notes when the click came, when the first frame is kept, and when the run is over.
WATCH: Final = """() => {
    const player = document.querySelector("#paint .player");
    window.seen = { click: performance.now() };
    new MutationObserver(() => {
        const { frames, state } = player.dataset;
        if (state === "live" && Number(frames) > 0) window.seen.first ??= performance.now();
        if (state === "finished" && window.seen.first) window.seen.end ??= performance.now();
    }).observe(player, { attributes: true });
}"""


def report(studio: "Studio", model: str, steps: int, rounds: int) -> None:
    """Print milliseconds a step in the browser and of `exact`, the first frame, and the bytes."""
    from playwright.sync_api import sync_playwright

    from app.static.runtime import runtime_archive
    from app.static.site import write_site

    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        raise StudioError("The page needs a browser.", "Install the package chromium.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder) / "site"
        archive = runtime_archive()
        write_site(site, studio.painter, studio.models.find(model), None, runtime=archive)
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        typer.echo("without a server, in Chromium")
        for words in compared(studio, model, chromium, site, steps=steps, rounds=rounds):
            typer.echo(words)
        chromium.close()


def compared(
    studio: "Studio", model: str, chromium: "Browser", site: Path, *, steps: int, rounds: int
) -> Iterator[str]:
    """Yield a line for each way of serving `site`: with the headers for threads, and without."""
    from app.static.serve import Handler

    for handler in (Handler, PlainHandler):
        with _served(site, handler) as address:
            yield _measured(studio, model, chromium, address, steps, rounds)


class PlainHandler(SimpleHTTPRequestHandler):
    """Sends no headers for threads, as `python -m http.server`."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


@contextmanager
def _served(site: Path, handler: type[SimpleHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def _measured(
    studio: "Studio", model: str, chromium: "Browser", address: str, steps: int, rounds: int
) -> str:
    page = chromium.new_page()
    loaded: list[int] = []
    page.on("requestfinished", lambda request: loaded.append(request.sizes()["responseBodySize"]))
    page.goto(address)
    page.wait_for_function(
        "document.querySelector('#paint .static-status').textContent.startsWith('ready')",
        timeout=LONGEST,
    )
    status = page.locator("#paint .static-status").inner_text()
    _painted(page, steps, seed=0)  # one-time costs are not timed
    _exact(studio, model, steps, seed=0)
    firsts, ours, ratios = [], [], []
    for seed in range(1, rounds + 1):
        first, whole = _painted(page, steps, seed)
        exact = _exact(studio, model, steps, seed)
        firsts.append(first)
        ours.append(whole / steps)
        ratios.append(whole / exact)
    page.close()
    return (
        f"{status.removeprefix('ready: this device ')}: {statistics.median(ours) * 1e3:.0f} ms a "
        f"step, {statistics.median(ratios):.2f} times exact's; first frame "
        f"{statistics.median(firsts) * 1e3:.0f} ms after the click; "
        f"{sum(loaded) / 1e6:.1f} MB loaded"
    )


def _painted(page: "Page", steps: int, seed: int) -> tuple[float, float]:
    """Paint by a click; return the seconds to the first frame and to the end."""
    for name, value in {"steps": steps, "seed": seed, "sampler": "ddpm"}.items():
        control = page.locator(f"#paint [name={name}]")
        control.evaluate("(control, value) => { control.value = value; }", str(value))
    page.locator("#paint [name=keep]").check()
    page.evaluate(WATCH)
    page.locator("#paint .studio-paint").click()
    page.wait_for_function("window.seen.end", timeout=LONGEST)
    first, end = page.evaluate("[window.seen.first, window.seen.end]")
    click = page.evaluate("window.seen.click")
    return (first - click) / 1e3, (end - click) / 1e3


def _exact(studio: "Studio", model: str, steps: int, seed: int) -> float:
    recipe = Recipe.checked({"model": model, "sampler": "ddpm", "steps": steps, "seed": seed})
    began = time.perf_counter()
    sum(1 for _ in studio.painter.films.stream(recipe))
    return time.perf_counter() - began
