"""Every slider of Gradio's can be dragged, on each tab, and keeps what it was dragged to."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.lab_page import open_tab
from tests.e2e.mouse import drag
from tools.server import Server

pytestmark = pytest.mark.e2e

CLOSED = "button.label-wrap:not(.open):visible"
PANELS = "button[role=tab]:visible"


def unfold(tab: Locator) -> None:
    """Open all that is folded, what lies in another fold too."""
    part = tab.locator("button.label-wrap:visible, input[type=range]:visible").first
    expect(part).to_be_visible()
    for _ in range(8):
        if not tab.locator(CLOSED).count():
            return
        tab.locator(CLOSED).first.click()
        tab.page.wait_for_timeout(300)  # unfolding takes a moment


def drag_all(tab: Locator, dragged: set[str]) -> None:
    """Drag each slider in sight to another place, but for those `dragged` before."""
    for rail in tab.locator("input[type=range]:visible").all():
        name = rail.get_attribute("aria-label") or ""
        if name in dragged:
            continue
        before = float(rail.input_value())
        low, high, step = (float(rail.get_attribute(of) or 0) for of in ("min", "max", "step"))
        share = 0.25 if (before - low) / (high - low) > 0.5 else 0.75
        for _ in range(3):  # what is above may grow when a panel is first opened
            drag(rail, 1 - share, share, steps=4)
            if float(rail.input_value()) != before:
                break
        wanted = low + share * (high - low)
        assert abs(float(rail.input_value()) - wanted) <= 0.05 * (high - low) + step, name
        dragged.add(name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("Noise", 3), ("Mix", 6), ("Bound", 2), ("Train", 3)])
def test_every_slider_can_be_dragged(
    browser_page: Page, studio: Server, name: str, least: int
) -> None:
    tab = open_tab(browser_page, studio, name)
    unfold(tab)
    expect(tab.locator("input[type=range]:visible").first).to_be_visible()
    dragged: set[str] = set()
    drag_all(tab, dragged)
    for panel in tab.locator(PANELS).all():
        panel.click()
        expect(panel).to_have_attribute("aria-selected", "true")
        drag_all(tab, dragged)
    assert len(dragged) >= least, dragged
