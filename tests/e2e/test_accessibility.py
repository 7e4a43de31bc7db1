"""What axe-core finds in each tab at rest and after a run, by day, at night, and on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.lab_page import PATIENCE, resize
from tools.server import Server

axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is missing")

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TABS = ("Paint", "Noise", "Mix", "Bound", "Train", "Theory")
FOREIGN = [".upload-container"]
"""Gradio's own button round a drop zone: it names itself otherwise than what is written in it."""


def violations(page: Page) -> list[list[str]]:
    """Return the rules that the page breaks, each with the elements that break it."""
    found: list[list[str]] = page.evaluate(
        """async (foreign) => (await axe.run({ exclude: foreign })).violations
            .map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html.slice(0, 120))])""",
        [FOREIGN],
    )
    return found


@pytest.mark.parametrize("size", ["desk", "phone"])
@pytest.mark.parametrize("night", [False, True])
def test_axe_finds_no_violation(
    browser_page: Page, studio: Server, size: str, *, night: bool
) -> None:
    page = browser_page
    resize(page, size)
    page.goto(studio.url)
    player = page.locator("#paint .player")
    expect(player).to_be_visible(timeout=PATIENCE)
    if night:
        page.locator(".studio-night").click()
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    for name in TABS:
        page.get_by_role("tab", name=name, exact=True).click()
        if name == "Mix":
            page.get_by_role("tab", name="The grid", exact=True).click()
            expect(page.locator(".lab-grid canvas[data-filled]").first).to_be_visible()
        page.wait_for_timeout(500)
        assert violations(page) == [], name
    page.get_by_role("tab", name="Paint", exact=True).click()
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(player).to_have_attribute("data-state", "live", timeout=PATIENCE)
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    assert violations(page) == [], "after a run"
    page.get_by_role("button", name="tour", exact=True).click()
    assert violations(page) == [], "on the tour"
