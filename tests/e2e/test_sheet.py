"""The same seed side by side, on the page: painted cell by cell, saved, restored; bad values."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from app.laboratory.experiments import read_experiment
from app.laboratory.sheet_experiment import Sheet
from app.painting.recipe import Recipe
from tests.e2e.lab_page import PATIENCE
from tests.e2e.test_paint import choose, expect_state
from tests.e2e.test_runs import SMALL
from tools.server import Server

pytestmark = pytest.mark.e2e


@pytest.fixture
def page(browser_page: Page, studio: Server) -> Page:
    browser_page.goto(studio.url)
    expect_state(browser_page, "finished")
    browser_page.get_by_role("radio", name=SMALL).click()
    browser_page.get_by_label("seed", exact=True).fill("77")
    browser_page.get_by_role("button", name="The same seed side by side").click()
    return browser_page


def values(page: Page, axis: str) -> Locator:
    return page.get_by_label(f"values in the {axis}")


def instrument(page: Page) -> Locator:
    return page.locator(".plein-air-sheet .lab-root")


def paint_sheet(page: Page) -> None:
    page.get_by_role("button", name="Paint the sheet").click()


def expect_sheet(page: Page, state: str) -> None:
    expect(instrument(page)).to_have_attribute("data-state", state, timeout=PATIENCE)


def test_a_sheet_is_painted_saved_and_restored(page: Page, tmp_path: Path) -> None:
    values(page, "rows").fill("2, 3")
    values(page, "rows").press("Enter")
    estimate = page.locator(".studio-sheet .prose.lab-estimate")
    expect(estimate).to_have_text(
        re.compile(r"^\s*6 pictures · 15 network steps · about \d+ s"), timeout=PATIENCE
    )
    paint_sheet(page)
    expect_sheet(page, "finished")
    cells = instrument(page).get_by_role("cell").and_(page.locator("a"))
    expect(cells).to_have_count(6)
    expect(cells.nth(4)).to_have_accessible_name("3 steps, DDIM")
    link = (cells.nth(4).get_attribute("href") or "").partition("?recipe=")[2]
    cell = Recipe.from_link(link.replace("%3D", "="))
    assert (cell.steps, cell.sampler, cell.seed, cell.pictures) == (3, "ddim", 77, 1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the sheet").click()
    path = tmp_path / "sheet.png"
    download.value.save_as(path)
    sheet = read_experiment(path.read_bytes())
    assert isinstance(sheet, Sheet)
    assert sheet.cells[4].seed == 77

    page.reload()
    expect_state(page, "finished")
    page.get_by_label("seed", exact=True).fill("5")
    page.locator("#recipe-drop input[type=file]").set_input_files(path)
    expect(page.get_by_text("The settings of this sheet are restored")).to_be_visible(
        timeout=PATIENCE
    )
    expect(values(page, "rows")).to_have_value("2, 3")
    expect(page.get_by_label("seed", exact=True)).to_have_value("77")


@pytest.mark.slow
def test_another_setting_suggests_its_values_and_bad_ones_are_named(page: Page) -> None:
    choose(page, "rows", "eta")
    expect(values(page, "rows")).to_have_value("0, 0.5, 1")
    values(page, "rows").fill("0, much")
    paint_sheet(page)
    expect_sheet(page, "failed")
    expect(instrument(page).locator(".lab-progress")).to_contain_text("'much' is no value of eta")
    page.get_by_label("rows", exact=True).click()
    expect(page.get_by_role("option", name="guidance")).to_have_count(0)


@pytest.mark.slow
def test_a_sheet_is_stopped_and_saved_as_far_as_it_came(page: Page) -> None:
    values(page, "rows").fill("2, 1000")
    paint_sheet(page)
    expect(instrument(page).locator("a[href]").nth(2)).to_be_visible(timeout=PATIENCE)
    instrument(page).get_by_role("button", name="Stop").click()
    expect_sheet(page, "stopped")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the sheet").click()
    assert isinstance(read_experiment(Path(download.value.path()).read_bytes()), Sheet)
