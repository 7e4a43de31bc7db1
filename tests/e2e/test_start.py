"""What a painting starts from, on the Paint tab of a served studio: a picture, a sketch, a part."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, ViewportSize, expect

from app.images.arrays import Pixels
from app.painting.canvas import Mask, decoded
from app.painting.recipe import Recipe
from tests.e2e.lab_page import PATIENCE, set_number
from tests.e2e.test_paint import expect_state, painted, saved
from tools.server import Server

pytestmark = pytest.mark.e2e

BOARD = "#paint .board"


@pytest.fixture
def page(browser_page: Page, studio: Server) -> Page:
    """The studio's page, opened."""
    browser_page.goto(studio.url)
    expect_state(browser_page, "finished")
    return browser_page


def start_from(page: Page, name: str, mode: str) -> None:
    page.locator(".studio-start").get_by_text(name, exact=True).click()
    expect(page.locator(BOARD)).to_have_attribute("data-mode", mode)


def draw(page: Page, number: int = 1, height: float = 0.5) -> None:
    """Draw a stroke across the sheet, the `number`th."""
    sheet = page.locator(".board-strokes")
    sheet.scroll_into_view_if_needed()
    sheet.hover()  # waits until it has come to rest
    box = sheet.bounding_box()
    assert box is not None
    y = box["y"] + height * box["height"]
    page.mouse.move(box["x"] + 0.3 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], y + 4, steps=6)
    page.mouse.up()
    expect(page.locator(BOARD)).to_have_attribute("data-strokes", str(number))


def test_a_sketch_is_drawn_and_painted(page: Page) -> None:
    start_from(page, "a sketch", "sketch")
    page.locator(".board-colours button").first.click()
    draw(page)
    recipe = painted(page, pictures=2)
    assert recipe.start_t == 500
    assert recipe.mask is None
    assert recipe.source is not None
    pixels = np.asarray(decoded(recipe.source)).astype(int)
    assert pixels.shape == (16, 16, 3)
    assert pixels[0].mean() > pixels[8, 6:10].mean() + 40, "a dark stroke on light paper"
    expect(page.locator(".player-title")).to_contain_text("from a picture at t = 500")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choice", "mode", "says"),
    [
        ("a sketch", "sketch", "The sketch is blank."),
        ("a part", "part", "The mask is empty"),
    ],
)
def test_where_nothing_is_drawn_nothing_is_painted(
    page: Page, choice: str, mode: str, says: str
) -> None:
    start_from(page, choice, mode)
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator(".player-notice")).to_contain_text(says)


def pixels_of(page: Page, recipe: Recipe) -> tuple[Pixels, Pixels, Mask]:
    """The saved picture, what it was painted over, and where the mask is white."""
    assert recipe.source
    assert recipe.mask
    with page.expect_download() as download:
        page.locator(".player-save").click()
    with Image.open(Path(download.value.path())) as image:
        result = np.asarray(image.convert("RGB"))
    white = np.asarray(decoded(recipe.mask).convert("L")) > 127
    return result, np.asarray(decoded(recipe.source)), white


def test_a_part_is_painted_anew_and_another_after_it(page: Page) -> None:
    first = painted(page)
    page.get_by_role("button", name="This part again", exact=True).click()
    expect(page.locator(BOARD)).to_have_attribute("data-mode", "part")
    draw(page, 1)
    draw(page, 2, height=0.2)
    page.get_by_role("button", name="undo", exact=True).click()
    expect(page.locator(BOARD)).to_have_attribute("data-strokes", "1")
    recipe = painted(page)
    assert recipe.model == first.model
    result, source, white = pixels_of(page, recipe)
    assert 0 < white.sum() < white.size / 2
    assert not white[: len(white) // 4].any(), "the stroke that was undone"
    assert result[~white].tobytes() == source[~white].tobytes()
    assert (result[white] != source[white]).any()

    page.get_by_role("button", name="This part again", exact=True).click()
    expect(page.locator(BOARD)).to_have_attribute("data-strokes", "0")
    draw(page, 1, height=0.75)
    page.get_by_label("careful", exact=False).check()
    again = painted(page)
    assert again.resampling == 3
    over, before, hole = pixels_of(page, again)
    assert before.tobytes() == result.tobytes()
    assert over[~hole].tobytes() == result[~hole].tobytes()
    page.get_by_role("button", name="← its origin").click()
    expect(page.locator(".player-title")).not_to_contain_text("times over")
    assert saved(page).mask == recipe.mask


def test_a_picture_gets_more_around_it_and_keeps_its_own_pixels(page: Page) -> None:
    painted(page)
    page.get_by_role("button", name="This part again", exact=True).click()
    page.get_by_role("button", name="More around it", exact=True).click()
    expect(page.locator(BOARD)).to_have_attribute("data-given", "true", timeout=PATIENCE)
    recipe = painted(page)
    assert recipe.resampling == 3
    result, source, white = pixels_of(page, recipe)
    assert not white[8:56, 8:56].any()
    assert white.sum() == 64**2 - 48**2
    assert result[~white].tobytes() == source[~white].tobytes()


def test_what_a_painting_starts_from_survives_a_reload(page: Page) -> None:
    start_from(page, "a sketch", "sketch")
    page.locator(".board-colours button").first.click()
    draw(page)
    set_number(page, "t: my picture", 300)
    page.reload()
    expect(page.locator(BOARD)).to_have_attribute("data-given", "true", timeout=PATIENCE)
    recipe = painted(page)
    assert recipe.source is not None
    assert recipe.start_t == 300
    pixels = np.asarray(decoded(recipe.source)).astype(int)
    assert pixels[0].mean() > pixels[8, 6:10].mean() + 40, "the stroke that was drawn before"
    start_from(page, "a part", "part")
    draw(page)
    page.reload()
    expect(page.locator(BOARD)).to_have_attribute("data-mode", "part", timeout=PATIENCE)
    expect(page.locator(BOARD)).to_have_attribute("data-given", "true")
    assert painted(page).mask is not None
    page.locator(".studio-start").get_by_text("noise", exact=True).click()
    expect(page.locator(BOARD)).to_have_count(0)
    page.reload()
    expect_state(page, "finished")
    assert painted(page).source is None


def test_a_finger_draws(visitor: BrowserContext, studio: Server) -> None:
    assert visitor.browser
    screen = ViewportSize(width=390, height=844)
    with visitor.browser.new_context(has_touch=True, viewport=screen) as context:
        page = context.new_page()
        page.goto(studio.url)
        expect_state(page, "finished")
        page.get_by_role("button", name="settings").click()
        start_from(page, "a sketch", "sketch")
        sheet = page.locator(".board-strokes")
        sheet.scroll_into_view_if_needed()
        box = sheet.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 4
        finger = context.new_cdp_session(page)

        def touch(kind: str, *points: dict[str, float]) -> None:
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [*points]})

        before = page.evaluate("scrollY")
        touch("touchStart", {"x": x, "y": y})
        for step in range(1, 9):
            touch("touchMove", {"x": x, "y": y + step * box["height"] / 16})
        touch("touchEnd")
        expect(page.locator(BOARD)).to_have_attribute("data-strokes", "1")
        assert page.evaluate("scrollY") == before, "the page scrolled under the finger"
        drawn = page.evaluate(
            """() => {
                const sheet = document.querySelector(".board-strokes");
                const at = (y) => sheet.getContext("2d")
                    .getImageData(sheet.width / 2, y * sheet.height, 1, 1).data[3];
                return [at(0.3), at(0.5), at(0.7), at(0.95)];
            }"""
        )
        assert [it > 0 for it in drawn] == [True, True, True, False]


@pytest.mark.slow
def test_a_run_from_a_picture_is_branched_and_has_no_link(page: Page, tmp_path: Path) -> None:
    start_from(page, "a picture", "picture")
    pixels = np.random.default_rng(2).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    page.locator(".lab-sources input[type=file]").first.set_input_files(tmp_path / "photo.png")
    recipe = painted(page)
    assert recipe.source is not None
    page.locator(".player-link").click()
    expect(page.locator(".player-notice")).to_contain_text("A link can't hold the picture")
    page.locator(".player-slider").press("Home")
    run = page.locator(".player").get_attribute("data-run") or ""
    page.get_by_role("button", name="Branch here").click()
    expect(page.locator(".player")).not_to_have_attribute("data-run", re.compile(re.escape(run)))
    expect_state(page, "finished")
    branch = saved(page)
    assert branch.parent is not None
    assert (branch.source, branch.parent.source) == (None, recipe.source)
    page.reload()
    expect_state(page, "finished")
    expect(page.locator(".player-title")).to_contain_text("branch at t")
