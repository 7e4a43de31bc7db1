"""A link and PNGs of an earlier version, opened on the page."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.compatibility.conftest import Served
from tests.compatibility.fixtures import BEFORE, assert_holds, table, text_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PAINTING = "impressionist-64-dpm-solver-sde-4-seed-7.png"


def expect_finished(page: Page) -> None:
    expect(page.locator(".player").first).to_have_attribute(
        "data-state", "finished", timeout=60_000
    )


def test_a_link_restores_its_painting(browser_page: Page, alone: Served) -> None:
    browser_page.goto(f"{alone.url}?recipe={table('links.json')[PAINTING]}")
    expect(browser_page.get_by_text("The recipe is restored")).to_be_visible(timeout=60_000)
    # As the file's name says; the example that the page opens with has 50 steps.
    title = browser_page.locator(".player-title").first
    expect(title).to_have_text(re.compile(" 4 steps · seed 7 "), timeout=60_000)
    expect_finished(browser_page)
    with browser_page.expect_download() as download:
        browser_page.locator(".player-save").first.click()
    now = text_of(Path(download.value.path()), "plein-air-recipe")
    before = text_of(BEFORE / "paintings" / PAINTING, "plein-air-recipe")
    del before["versions"]
    assert_holds(now, before)


@pytest.mark.timeout(900)
def test_an_experiments_png_restores_its_settings(browser_page: Page, alone: Served) -> None:
    for picture in sorted((BEFORE / "experiments").glob("*.png")):
        browser_page.goto(alone.url)
        expect_finished(browser_page)
        drop = browser_page.locator("#recipe-drop input[type=file]")
        kind = text_of(picture, "plein-air-laboratory")["experiment"]
        name = "bound" if kind == "bounding" else kind.replace("_", " ")
        drop.set_input_files(picture)
        said = browser_page.get_by_text(f"The settings of this {name} are restored").first
        expect(said).to_be_visible(timeout=120_000)
