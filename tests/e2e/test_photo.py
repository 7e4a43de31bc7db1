"""A photo dropped on the page: what is offered, and what comes of it."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.lab_page import EXAMPLES, PATIENCE, resize, upload, wide_picture
from tests.e2e.test_paint import painted
from tools.server import Server

pytestmark = pytest.mark.e2e

FILES = """([bytes, name, type]) => {
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(bytes)], name, { type }));
    return files;
}"""


@pytest.fixture
def page(browser_page: Page, studio: Server) -> Page:
    browser_page.goto(studio.url)
    player = browser_page.locator("#paint .player")
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    return browser_page


def drop(page: Page, name: str = "holiday.png", kind: str = "image/png") -> Locator:
    """Drop a photo on what Paint shows, and give the question that is asked of it."""
    files = page.evaluate_handle(FILES, [list(wide_picture()), name, kind])
    page.locator("#paint .player-stage").dispatch_event("drop", {"dataTransfer": files})
    return page.get_by_role("dialog")


def test_a_photo_is_offered_all_that_can_be_done_and_nothing_is_done_unasked(page: Page) -> None:
    question = drop(page)
    expect(question.get_by_role("heading")).to_contain_text("holiday.png")
    expect(question.locator("b")).to_have_text(["Paint", "Noise", "Mix", "× 4", "Train"])  # noqa: RUF001
    page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    expect(page.get_by_role("tab", name="Paint", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )


def test_a_photo_is_what_a_painting_starts_from(page: Page) -> None:
    drop(page).get_by_role("button", name="start a painting").click()
    board = page.locator("#paint .board")
    expect(board).to_have_attribute("data-mode", "picture", timeout=PATIENCE)
    expect(board).not_to_have_attribute("data-empty", "")
    assert painted(page).source is not None


@pytest.mark.slow
def test_a_photo_is_what_a_painting_starts_from_on_a_phone(page: Page) -> None:
    resize(page, "phone")
    page.reload()
    drop(page).get_by_role("button", name="start a painting").click()
    expect(page.locator("#paint .board")).to_have_attribute("data-mode", "picture")


def test_a_photo_is_taken_to_mix(page: Page) -> None:
    drop(page).get_by_role("button", name="Mix").click()
    thumbs = page.locator("#mix .lab-thumbs button")
    expect(thumbs).to_have_count(len(EXAMPLES) + 1, timeout=PATIENCE)
    expect(thumbs.last).to_have_attribute("aria-pressed", "true")


@pytest.mark.slow
def test_a_photo_is_enlarged_by_the_second_stage(page: Page) -> None:
    drop(page).get_by_role("button", name="second stage").click()
    title = page.locator("#noise .player-title")
    expect(title).to_contain_text("enlarged", timeout=PATIENCE)
    expect(page.locator("#noise .lab-thumbs button").last).to_have_attribute("aria-pressed", "true")


@pytest.mark.slow
def test_a_photo_is_taken_to_train(page: Page) -> None:
    drop(page).get_by_role("button", name="Train").click()
    expect(page.locator("#train .studio-drop-zone")).to_contain_text("holiday", timeout=PATIENCE)


@pytest.mark.slow
def test_a_file_that_is_no_picture_is_refused_as_before(page: Page) -> None:
    question = drop(page, "notes.txt", "text/plain")
    expect(page.locator(".toast-body").first).to_be_visible()
    expect(question).to_have_count(0)


def test_what_one_laboratory_was_given_is_offered_in_the_other(page: Page) -> None:
    page.get_by_role("tab", name="Noise", exact=True).click()
    upload(page.locator("#noise"), wide_picture(), "holiday.png")
    expect(page.locator("#noise .lab-thumbs button")).to_have_count(
        len(EXAMPLES) + 1, timeout=PATIENCE
    )
    expect(page.locator("#noise .lab-offered button")).to_have_count(0)
    page.get_by_role("tab", name="Mix", exact=True).click()
    offered = page.locator("#mix .lab-offered button")
    expect(offered).to_have_accessible_name("holiday.png, which another tab was given")
    offered.click()
    thumbs = page.locator("#mix .lab-thumbs button")
    expect(thumbs).to_have_count(len(EXAMPLES) + 1, timeout=PATIENCE)
    expect(thumbs.last).to_have_attribute("aria-pressed", "true")
    expect(offered).to_have_count(0)
