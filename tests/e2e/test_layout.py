"""Where things stand on screens of many widths, and that they stay there."""

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from tests.e2e.lab_page import PATIENCE, SIZES, open_tab, resize
from tools.server import Server

pytestmark = pytest.mark.e2e

FOLD = "#paint .studio-fold > .label-wrap"

PROJECTORS = (980, 1024, 1100, 1180)

COUNT_SHIFTS = """
    window.shifts = [];
    new PerformanceObserver((list) => {
        for (const { value, hadRecentInput } of list.getEntries()) {
            if (!hadRecentInput) window.shifts.push(value);
        }
    }).observe({ type: "layout-shift", buffered: true });
"""

CUT = """() => [...document.querySelectorAll("figcaption, figcaption span, .player-title")]
    .filter((it) => it.checkVisibility() && getComputedStyle(it).overflowX === "hidden")
    .filter((it) => it.scrollWidth > it.clientWidth)
    .map((it) => it.textContent)"""


def box(of: Locator) -> FloatRect:
    found = of.bounding_box()
    assert found is not None
    return found


def opened(page: Page, studio: Server) -> Locator:
    page.goto(studio.url)
    player = page.locator("#paint .player")
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    return player


def height(page: Page) -> int:
    return int(page.evaluate("window.innerHeight"))


@pytest.mark.parametrize("size", SIZES)
def test_nothing_moves_while_the_page_loads(browser_page: Page, studio: Server, size: str) -> None:
    resize(browser_page, size)
    browser_page.add_init_script(COUNT_SHIFTS)
    opened(browser_page, studio)
    examples = browser_page.locator(".block.studio-examples")
    examples.scroll_into_view_if_needed()
    expect(examples.locator("img")).to_have_count(8)
    assert browser_page.evaluate("shifts.reduce((sum, value) => sum + value, 0)") < 0.1


def test_a_phone_shows_a_picture_and_the_button_first(browser_page: Page, studio: Server) -> None:
    page = browser_page
    resize(page, "phone")
    player = opened(page, studio)
    paint = page.get_by_role("button", name="Paint", exact=True)
    slider = box(player.locator(".player-slider"))
    picture = box(player.locator(".player-box").first)
    assert picture["width"] > 340
    assert picture["y"] + picture["height"] <= slider["y"]
    assert slider["height"] >= 44
    button = box(paint)
    assert slider["y"] + slider["height"] <= button["y"]
    assert button["y"] + button["height"] <= height(page)
    fold = page.locator(FOLD)
    expect(page.get_by_label("sampler", exact=True)).to_be_hidden()
    fold.click()
    expect(page.get_by_label("sampler", exact=True)).to_be_visible()
    assert box(paint)["y"] < box(fold)["y"]


def test_after_paint_the_picture_is_in_view_on_a_phone(browser_page: Page, studio: Server) -> None:
    page = browser_page
    resize(page, "phone")
    player = opened(page, studio)
    page.locator(FOLD).click()
    page.get_by_text("painted by impressionist-64").scroll_into_view_if_needed()
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(player.locator(".player-pictures button")).to_have_count(4, timeout=PATIENCE)
    picture = box(player.locator(".player-box").first)
    assert picture["y"] >= 0
    assert picture["y"] + picture["height"] <= box(player.locator(".player-slider"))["y"]


@pytest.mark.slow
def test_a_phone_shows_thumbnails_whole_and_the_nearest_line_in_full(
    browser_page: Page, studio: Server
) -> None:
    page, width = browser_page, resize(browser_page, "phone")
    player = opened(page, studio)
    line = player.locator(".player-nearest")
    expect(line).not_to_be_empty()
    assert line.evaluate("(it) => it.scrollHeight <= it.clientHeight")
    examples = page.locator(".block.studio-examples")
    examples.scroll_into_view_if_needed()
    expect(examples.locator("img")).to_have_count(8)
    for thumbnail in examples.locator(".gallery-item").all():
        seen = box(thumbnail)
        assert abs(seen["width"] - seen["height"]) <= 1
        assert seen["x"] >= 0
        assert seen["x"] + seen["width"] <= width


@pytest.mark.slow
@pytest.mark.parametrize("tab", ["Paint", "Noise", "Mix", "Train"])
def test_a_projector_shows_every_caption_and_scrolls_down_alone(
    browser_page: Page, studio: Server, tab: str
) -> None:
    page = browser_page
    open_tab(page, studio, tab)
    expect(page.locator(f"#{tab.lower()} canvas").first).to_be_visible(timeout=PATIENCE)
    for width in PROJECTORS:
        page.set_viewport_size({"width": width, "height": 768})
        expect(page.locator("html")).to_have_js_property("scrollWidth", width)
        assert page.evaluate(CUT) == []


SMALL = """() => [...document.querySelectorAll("body *")]
    .filter((it) => !it.closest("svg, sub, sup, .katex, [aria-hidden=true]"))
    .filter((it) => [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter((it) => it.checkVisibility())
    .map((it) => [parseFloat(getComputedStyle(it).fontSize), it.textContent])
    .filter(([size]) => size > 0 && size < 12)"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_no_words_are_smaller_than_12_px(browser_page: Page, studio: Server, size: str) -> None:
    resize(browser_page, size)
    opened(browser_page, studio)
    for tab in ("Paint", "Noise", "Mix", "Bound", "Train"):
        browser_page.get_by_role("tab", name=tab, exact=True).click()
        closed = browser_page.locator(f"#{tab.lower()} .label-wrap:not(.open)")
        closed.evaluate_all("(labels) => labels.forEach((label) => label.click())")
        expect(closed).to_have_count(0)
        shown = browser_page.locator(f"#{tab.lower()}").locator(".player, .lab-root")
        expect(shown.locator("visible=true").first).to_be_visible(timeout=PATIENCE)
        assert browser_page.evaluate(SMALL) == []


def font_size(of: Locator) -> float:
    return float(of.evaluate("(it) => parseFloat(getComputedStyle(it).fontSize)"))


def test_a_player_is_presented_over_the_whole_screen_with_large_labels(
    browser_page: Page, studio: Server
) -> None:
    page = browser_page
    resize(page, "desk")
    player = opened(page, studio)
    caption, button = player.locator("figcaption").first, player.get_by_label("present")
    before = font_size(caption)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(player).to_have_css("position", "fixed")
    seen = box(player)
    assert (seen["x"], seen["y"]) == (0, 0)
    assert seen["width"] == page.evaluate("window.innerWidth")
    assert seen["height"] == height(page)
    assert font_size(caption) >= 1.5 * before
    assert font_size(player.locator(".player-readout")) >= 24
    assert player.evaluate("(it) => it.scrollHeight <= it.clientHeight")
    at = player.get_attribute("data-i")
    page.keyboard.press("ArrowLeft")
    expect(player).not_to_have_attribute("data-i", at or "")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert font_size(caption) == before


def test_a_tour_goes_through_six_moments_of_the_run(browser_page: Page, studio: Server) -> None:
    page = browser_page
    player = opened(page, studio)
    button = player.get_by_role("button", name="tour", exact=True)
    button.click()
    card = page.get_by_role("region", name="guided tour")
    back, onwards = (card.get_by_role("button", name=name) for name in ("Back", "Next"))
    expect(player).to_have_attribute("data-i", "0")
    expect(back).to_be_disabled()
    moments, headings = [0], {card.get_by_role("heading").inner_text()}
    for place in range(2, 7):
        page.keyboard.press("Enter")
        expect(card).to_contain_text(f"{place} of 6")
        expect(player).not_to_have_attribute("data-i", str(moments[-1]))
        moments.append(int(player.get_attribute("data-i") or -1))
        headings.add(card.get_by_role("heading").inner_text())
    assert len(headings) == 6
    assert moments == sorted(moments)
    last = player.get_by_role("slider").first.get_attribute("aria-valuemax")
    expect(player).to_have_attribute("data-i", last or "")
    expect(onwards).to_be_disabled()
    expect(back).to_be_focused()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-pressed", "false")


@pytest.mark.slow
def test_paper_shows_the_pictures_by_day_and_no_controls(
    browser_page: Page, studio: Server
) -> None:
    page = browser_page
    page.set_viewport_size({"width": 718, "height": 1000})
    player = opened(page, studio)
    page.locator(".studio-night").click()
    page.emulate_media(media="print")
    for shown in (".player-title", ".player-box", ".player-moments", ".player-nearest"):
        expect(player.locator(shown).first).to_be_visible()
    for hidden in (".studio-paint", ".player-actions", ".player-slider", ".studio-examples"):
        expect(page.locator(hidden).first).to_be_hidden()
    expect(page.get_by_role("tab", name="Noise", exact=True)).to_be_hidden()
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(player.locator(".player-title")).to_have_css("color", "rgb(34, 48, 60)")
    page.emulate_media(media="screen")
