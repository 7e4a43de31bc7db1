"""The page by keyboard alone."""

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.lab_page import PATIENCE
from tools.server import Server

pytestmark = pytest.mark.e2e


@pytest.fixture
def page(browser_page: Page, studio: Server) -> Page:
    """The studio's page, opened, the focus nowhere yet."""
    browser_page.goto(studio.url)
    player = browser_page.locator("#paint .player")
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    return browser_page


def tab_to(page: Page, target: Locator, most: int = 30) -> int:
    """Press Tab until `target` has the focus, and say how often."""
    for presses in range(1, most + 1):
        page.keyboard.press("Tab")
        if target.evaluate("(it) => it === document.activeElement"):
            return presses
    raise AssertionError(f"not reached in {most} presses")


def header_tab(page: Page, name: str) -> Locator:
    return page.get_by_role("tab", name=name, exact=True)


def test_a_first_press_of_tab_leads_past_all_to_paint(page: Page) -> None:
    skip = page.get_by_role("button", name="Skip to the main button")
    assert tab_to(page, skip) == 1
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Paint", exact=True)).to_be_focused()


def test_tab_alone_opens_no_list_and_an_arrow_does(page: Page) -> None:
    model = page.get_by_label("model", exact=True)
    tab_to(page, model)
    expect(model).to_have_attribute("aria-expanded", "false")
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Hub")).to_be_focused()
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("listbox")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("listbox")).to_have_count(0)
    expect(model).to_be_focused()


def test_arrows_move_between_tabs_and_each_list_is_one_stop(page: Page) -> None:
    tab_to(page, header_tab(page, "Paint"))
    for key, name in (("ArrowRight", "Noise"), ("End", "Theory"), ("ArrowRight", "Paint"),
                      ("ArrowLeft", "Theory"), ("Home", "Paint")):  # fmt: skip
        page.keyboard.press(key)
        expect(header_tab(page, name)).to_be_focused()
        expect(header_tab(page, name)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Tab")
    expect(page.get_by_role("radio", name="noise", exact=True)).to_be_focused()


def test_arrows_move_between_exact_and_fast(page: Page) -> None:
    fast, exact = page.get_by_label("fast"), page.get_by_label("exact")
    tab_to(page, fast)
    page.keyboard.press("ArrowLeft")
    expect(exact).to_be_focused()
    expect(exact).to_be_checked()
    page.keyboard.press("ArrowRight")
    expect(fast).to_be_checked()
    page.keyboard.press("Tab")
    expect(page.locator(".studio-night")).to_be_focused()


def test_a_tabs_focus_ring_is_whole(page: Page) -> None:
    tab = header_tab(page, "Paint")
    tab_to(page, tab)
    look: dict[str, Any] = tab.evaluate(
        """(it) => {
            const { outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(it);
            return { outlineStyle, beyond: parseFloat(outlineWidth) + parseFloat(outlineOffset) };
        }"""
    )
    assert look == {"outlineStyle": "solid", "beyond": 0}


def test_the_focus_never_falls_to_the_body(page: Page) -> None:
    header_tab(page, "Theory").click()
    lead = page.get_by_role("button", name="Move t in Noise")
    lead.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#noise .lab-stage").first).to_be_visible(timeout=PATIENCE)
    expect(header_tab(page, "Noise")).to_be_focused()
    thumb = page.locator("#noise .lab-thumbs button").nth(2)
    thumb.focus()
    page.keyboard.press("Enter")
    expect(thumb).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
    expect(thumb).to_be_focused()
