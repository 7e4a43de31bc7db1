"""What axe-core finds in each tab at rest, by day and at night, at a desk and on a phone."""

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


@pytest.mark.parametrize("size", ["desk", "phone"])
@pytest.mark.parametrize("night", [False, True])
def test_axe_finds_no_violation(
    browser_page: Page, studio: Server, size: str, *, night: bool
) -> None:
    page = browser_page
    resize(page, size)
    page.goto(studio.url)
    expect(page.locator(".player").first).to_be_visible(timeout=PATIENCE)
    if night:
        page.locator(".studio-night").click()
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    for name in TABS:
        page.get_by_role("tab", name=name, exact=True).click()
        if name == "Mix":
            page.get_by_role("tab", name="The grid", exact=True).click()
            expect(page.locator(".lab-grid canvas[data-filled]").first).to_be_visible()
        page.wait_for_timeout(500)
        found = page.evaluate(
            """async (foreign) => (await axe.run({ exclude: foreign })).violations
                .map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html.slice(0, 120))])""",
            [FOREIGN],
        )
        assert found == [], name
