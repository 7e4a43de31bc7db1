"""`python -m app showcase`: repaint what the page and the README show of the bundled model."""

import shutil
from pathlib import Path
from typing import Final

import typer

from app.errors import StudioError

EXAMPLE_SEEDS: Final = (43, 16, 27, 33, 52, 31, 46, 59)
"""Chosen by eye, for variety; the model's card shows seeds that nobody chose."""

STRIP_SEED: Final = 43

CARD_SEEDS: Final = 36
"""The first ones: what the model's card shows isn't chosen."""

SHOWN_MOMENT: Final = 6
"""Which box of the strip the player stands at on the screenshots: half noise, half painting."""

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def command() -> None:
    """Repaint what the page opens with and what the README shows with today's weights."""
    from app.service.plans import Plan, paint_all, recipes
    from app.service.results import results
    from app.service.showcase import save_examples
    from app.service.studio import Studio
    from app.settings import ASSETS, Settings
    from app.training.samples import png, tiled
    from app.ui.controls import DEFAULT
    from app.ui.keepsakes import save_keepsakes

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise StudioError("The screenshots need a browser.", "Install the package chromium.")
    studio = Studio(Settings())
    model = studio.settings.default_model
    chosen = [DEFAULT.recipe(model, seed) for seed in EXAMPLE_SEEDS]
    save_examples(studio.painter, studio.novelty, chosen, ASSETS / "showcase")
    first = Plan(DEFAULT.sampler, DEFAULT.steps, CARD_SEEDS)
    runs = recipes(
        studio.painter, model, first, seed=0, spacing=chosen[0].spacing, precision="exact"
    )
    card = studio.models.find(model).folder / "samples.png"
    card.write_bytes(png(tiled(paint_all(studio.painter, runs, lambda: None))))
    of_strip = studio.painter.complete(chosen[EXAMPLE_SEEDS.index(STRIP_SEED)])
    save_keepsakes(studio)
    (ASSETS / "strip.png").write_bytes(results(studio.painter, of_strip)[0].strip())
    _photograph(browser, ASSETS)
    typer.echo(
        f"repainted {len(chosen)} examples, the strip and the screenshots in {ASSETS}, and {card}"
    )


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
