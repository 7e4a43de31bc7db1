"""`python -m app showcase`: repaint what the page and the README show of the bundled model."""

import shutil
from pathlib import Path
from typing import Final

import typer

from app.errors import StudioError

EXAMPLE_SEEDS: Final = (11, 13, 20, 22, 24, 27, 37, 46)
"""Chosen by eye, for variety; the model's card shows seeds that nobody chose."""

STRIP_SEED: Final = 20

SHOWN_MOMENT: Final = 6
"""Which box of the strip the player stands at on the screenshots: half noise, half painting."""

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def command() -> None:
    """Repaint what the page opens with and what the README shows with today's weights."""
    from app.service.results import results
    from app.service.showcase import save_examples
    from app.service.studio import Studio
    from app.settings import ASSETS, Settings
    from app.ui.controls import DEFAULT
    from app.ui.keepsakes import save_keepsakes

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise StudioError("The screenshots need a browser.", "Install the package chromium.")
    studio = Studio(Settings())
    recipes = [DEFAULT.recipe(studio.settings.default_model, seed) for seed in EXAMPLE_SEEDS]
    save_examples(studio.painter, studio.novelty, recipes, ASSETS / "showcase")
    of_strip = studio.painter.complete(recipes[EXAMPLE_SEEDS.index(STRIP_SEED)])
    save_keepsakes(studio)
    (ASSETS / "strip.png").write_bytes(results(studio.painter, of_strip)[0].strip())
    _photograph(browser, ASSETS)
    typer.echo(f"repainted {len(recipes)} examples, the strip and the screenshots in {ASSETS}")


def _photograph(browser: str, folder: Path) -> None:
    """The page by day and by night, as a real browser shows it: page-day.jpg, page-night.jpg."""
    from playwright.sync_api import expect, sync_playwright

    from app.shell.server import running_server

    with running_server() as server, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-background-networking"]
        )
        for name in ("day", "night"):
            page = chromium.new_page(
                viewport={"width": 1440, "height": 900},
                color_scheme="dark" if name == "night" else "light",
            )
            page.goto(server.url)
            player = page.locator(".player")
            expect(player).to_have_attribute("data-state", "finished", timeout=60_000)
            page.locator(".player-moments button").nth(SHOWN_MOMENT).click()
            page.wait_for_function("[...document.images].every((image) => image.complete)")
            page.screenshot(path=folder / f"page-{name}.jpg", type="jpeg", quality=85)
        chromium.close()
