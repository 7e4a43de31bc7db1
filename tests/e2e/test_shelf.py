"""The shelf: what this browser keeps is seen, opened, starred, deleted; and other tabs' runs."""

import re

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.e2e.conftest import Serve
from tests.e2e.lab_page import PATIENCE, resize
from tests.e2e.player_page import PlayerPage, film
from tests.e2e.test_paint import expect_state, paint, painted
from tests.e2e.test_runs import BLOCKED, KEPT_BEFORE, SMALL, expect_run, shown_run
from tools.server import Server

pytestmark = pytest.mark.e2e

STAR = "pleinAir.runs.star('{}', true)"


@pytest.fixture
def page(browser_page: Page, studio: Server) -> Page:
    browser_page.goto(studio.url)
    expect_state(browser_page, "finished")
    browser_page.get_by_role("radio", name=SMALL).click()
    return browser_page


def shelf(page: Page) -> Locator:
    return page.locator(".shelf")


def key(run: str) -> str:
    return run.rpartition(".")[2]


def on_shelf(page: Page, run: str) -> Locator:
    return shelf(page).locator(f"li[data-run='{key(run)}']")


def expect_runs(page: Page, *runs: str) -> None:
    """The newest is the first."""
    places = shelf(page).locator("li")
    expect(places).to_have_count(len(runs))
    for n, run in enumerate(runs):
        expect(places.nth(n)).to_have_attribute("data-run", key(run))


def test_what_was_painted_is_opened_starred_and_deleted(page: Page) -> None:
    expect(shelf(page).locator(".shelf-words")).to_have_text(
        "what you paint is kept in this browser"
    )
    painted(page, steps=5)
    first = shown_run(page)
    painted(page, steps=6, pictures=4)
    second = shown_run(page)
    expect(shelf(page).locator(".shelf-few canvas")).to_have_count(2)
    expect(shelf(page).locator("li").first).to_be_hidden()
    shelf(page).locator("summary").click()
    expect_runs(page, second, first)
    expect(on_shelf(page, second).locator(".shelf-open")).to_have_attribute("aria-current", "")
    expect(on_shelf(page, second)).to_contain_text(re.compile(r"6 steps.*today, .*4 pictures"))
    expect(on_shelf(page, first)).to_contain_text("5 steps")

    on_shelf(page, first).locator(".shelf-open").click()
    expect_run(page, first)
    expect_state(page, "finished")
    on_shelf(page, first).get_by_role("button", name=re.compile("^star, ")).click()
    page.reload()
    shelf(page).locator("summary").click()
    expect_runs(page, second, first)
    star = on_shelf(page, first).get_by_role("button", name=re.compile("^star, "))
    expect(star).to_have_attribute("aria-pressed", "true")

    on_shelf(page, first).get_by_role("button", name=re.compile("^delete, ")).click()
    expect_runs(page, second)
    page.get_by_role("button", name="Undo", exact=True).click()
    expect_runs(page, second, first)
    expect(star).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Keep only starred").click()
    expect_runs(page, first)
    expect(shelf(page).get_by_role("status")).to_have_text("1 run deleted.")
    expect(page.get_by_role("button", name="Keep only starred")).to_be_disabled()
    page.reload()
    expect_run(page, first)
    expect(shelf(page).locator(".shelf-words")).to_have_text(re.compile("^1 run .* 1 starred$"))


@pytest.mark.slow
def test_the_shelf_is_used_by_keys_on_a_phone(page: Page) -> None:
    painted(page, steps=5)
    first = shown_run(page)
    painted(page, steps=6)
    width = resize(page, "phone")
    shelf(page).locator("summary").press("Enter")
    opening = on_shelf(page, first).locator(".shelf-open")
    opening.press("Tab")
    star = page.locator(":focus")
    expect(star).to_have_accessible_name(re.compile("^star, .*5 steps"))
    star.press("Enter")
    expect(star).to_have_attribute("aria-pressed", "true")
    expect(star).to_be_focused()
    expect(page.locator("html")).to_have_js_property("scrollWidth", width)
    opening.press("Enter")
    expect_run(page, first)


@pytest.mark.slow
def test_starred_runs_make_no_room(browser_page: Page, serve: Serve) -> None:
    page = browser_page
    page.goto(serve(PlayerPage(film()).blocks))
    page.wait_for_function("window.pleinAir?.runs")
    page.evaluate(KEPT_BEFORE, [30_000_000] * 2)
    page.evaluate(STAR.format("run0"))
    kept = page.evaluate(KEPT_BEFORE, [1, 1, 30_000_000, 30_000_000])
    assert kept == ["run3", "run2", "run0"]
    assert page.evaluate("pleinAir.runs.list().then((all) => all.map((it) => it.starred))") == [
        *(False, False, True)
    ]


def test_where_nothing_is_kept_the_shelf_says_so(visitor: BrowserContext, studio: Server) -> None:
    page = visitor.new_page()
    page.add_init_script(BLOCKED)
    page.goto(studio.url)
    expect_state(page, "finished")
    words = shelf(page).locator(".shelf-words")
    expect(words).to_have_text("what you paint is kept until this page is closed")
    painted(page, steps=5)
    run = shown_run(page)
    expect(words).to_have_text("1 run kept until this page is closed")
    shelf(page).locator("summary").click()
    expect(shelf(page)).to_contain_text("This browser lets the page keep nothing")
    expect_runs(page, run)
    page.close()


@pytest.mark.slow
def test_a_run_of_another_tab_is_said_to_be_painted_there(
    page: Page, visitor: BrowserContext, studio: Server
) -> None:
    paint(page, steps=1000, pictures=8)
    expect(page.locator(".player-moments button").nth(1)).to_be_enabled(timeout=PATIENCE)
    run = shown_run(page)
    page.wait_for_function("pleinAir.runs.list().then(([run]) => run?.bytes > 0)")
    other = visitor.new_page()
    other.goto(studio.url)
    expect_run(other, run)
    expect_state(other, "elsewhere")
    progress = other.locator(".player-progress")
    expect(progress).to_have_text("being painted in another tab of this browser")
    expect(other.get_by_role("button", name="Paint whole")).to_be_hidden()
    shelf(other).locator("summary").click()
    expect(on_shelf(other, run)).to_contain_text("being painted in another tab")
    expect(on_shelf(other, run).locator(".shelf-delete")).to_be_hidden()
    page.get_by_role("button", name="Stop").click()
    expect_state(other, "stopped")
    expect(progress).to_have_text(re.compile("^stopped at step"))
    other.close()


@pytest.mark.slow
def test_a_tab_that_is_closed_leaves_its_run_stopped(
    page: Page, visitor: BrowserContext, studio: Server
) -> None:
    other = visitor.new_page()
    other.goto(studio.url)
    expect_state(other, "finished")
    paint(other, steps=1000, pictures=2)
    expect(other.locator(".player-moments button").nth(1)).to_be_enabled(timeout=PATIENCE)
    run = shown_run(other)
    other.wait_for_function("pleinAir.runs.list().then(([run]) => run?.bytes > 0)")
    page.reload()
    expect_run(page, run)
    expect_state(page, "elsewhere")
    other.close()
    expect_state(page, "stopped")
