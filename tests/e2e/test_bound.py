"""The Bound and Theory tabs of a served studio, with a network of 0.1 M weights."""

import csv
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from app.laboratory.experiments import BoundRequest, read_experiment
from tests.e2e.lab_page import EXAMPLES, PATIENCE, open_tab, resize, set_number
from tests.e2e.mouse import drag
from tools.server import Server

pytestmark = pytest.mark.e2e


@pytest.fixture
def tab(browser_page: Page, studio: Server) -> Locator:
    """The Bound tab, showing the run that is kept."""
    tab = open_tab(browser_page, studio, "Bound")
    expect(root(tab)).to_have_attribute("data-run", "stored", timeout=PATIENCE)
    return tab


def root(tab: Locator) -> Locator:
    return tab.locator(".plein-air-bound .lab-root")


def compute(tab: Locator) -> None:
    tab.get_by_role("button", name="Compute", exact=True).click()
    expect(root(tab)).not_to_have_attribute("data-run", "stored", timeout=PATIENCE)


def finish(tab: Locator) -> None:
    expect(root(tab)).to_have_attribute("data-state", "finished", timeout=PATIENCE)


def table(tab: Locator) -> list[list[str]]:
    rows = root(tab).locator("tbody tr").all()
    texts = [row.locator("th, td").all_text_contents() for row in rows]
    return [[text.strip().replace("\N{MINUS SIGN}", "-") for text in row] for row in texts]


def saved_terms(tab: Locator) -> list[dict[str, str]]:
    with tab.page.expect_download() as download:
        root(tab).get_by_role("button", name="CSV").click()
    return list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))


def saved_figure(tab: Locator) -> Path:
    with tab.page.expect_download() as download:
        root(tab).get_by_role("button", name="PNG").click()
    return Path(download.value.path())


def test_first_sight_is_a_finished_bound(tab: Locator) -> None:
    expect(root(tab).locator("tbody tr")).to_have_count(3)
    assert [row[0] for row in table(tab)] == [
        EXAMPLES[0],
        f"{EXAMPLES[0]}, shuffled",
        "plain noise",
    ]
    expect(root(tab).locator(".lab-plot")).to_have_count(6)
    sums = [float(row[4]) for row in table(tab)]
    assert sums == sorted(sums)


def test_terms_come_in_and_add_up(tab: Locator) -> None:
    set_number(tab, "terms", 6)
    compute(tab)
    finish(tab)
    terms = saved_terms(tab)
    for name, prior, steps, decoder, total, error in table(tab):
        mine = [row for row in terms if row["subject"] == name]
        assert [row["kind"] for row in mine] == ["prior", *["step"] * 6, "decoder"]
        assert [int(row["t"]) for row in mine] == sorted((int(r["t"]) for r in mine), reverse=True)
        assert float(prior) == pytest.approx(float(mine[0]["bpd"]), rel=0.1)
        weighted = sum(float(row["weight"]) * float(row["bpd"]) for row in mine[1:-1])
        assert float(steps) == pytest.approx(weighted, rel=1e-3)
        assert float(total) == pytest.approx(float(prior) + float(steps) + float(decoder), abs=2e-4)
        assert float(error) > 0


@pytest.mark.slow
def test_dragging_terms_chooses_how_many(tab: Locator) -> None:
    drag(tab.get_by_label("range slider for terms"), 0.1, 0.5, steps=4)
    field = tab.get_by_label("number input for terms")
    assert int(field.input_value()) == pytest.approx(500, abs=60)


@pytest.mark.slow
def test_a_single_draw_has_no_error(tab: Locator) -> None:
    set_number(tab, "terms", 2)
    set_number(tab, "noise draws", 1)
    compute(tab)
    finish(tab)
    assert {row[5] for row in table(tab)} == {"\N{EN DASH}"}


@pytest.mark.slow
def test_stopping_keeps_the_terms(tab: Locator) -> None:
    set_number(tab, "terms", 1000)
    set_number(tab, "noise draws", 8)
    compute(tab)
    expect(root(tab)).to_have_attribute("data-terms", re.compile("[1-9]"), timeout=PATIENCE)
    root(tab).get_by_role("button", name="Stop").click()
    expect(root(tab)).to_have_attribute("data-state", "stopped")
    terms = saved_terms(tab)
    assert 0 < len(terms) < 3 * 1001
    assert all(row["kind"] != "decoder" for row in terms)
    set_number(tab, "terms", 2)
    tab.get_by_role("button", name="Compute", exact=True).click()
    finish(tab)
    assert len(saved_terms(tab)) == 3 * 4


@pytest.mark.slow
def test_first_sight_is_saved_with_its_recipe(tab: Locator) -> None:
    experiment = read_experiment(saved_figure(tab).read_bytes())
    assert isinstance(experiment, BoundRequest)
    assert experiment.model == "impressionist-64"
    assert [s.kind for s in experiment.subjects] == ["picture", "shuffled", "noise"]


@pytest.mark.slow
def test_a_dropped_png_restores_its_bound(browser_page: Page, tab: Locator, tmp_path: Path) -> None:
    set_number(tab, "terms", 4)
    set_number(tab, "noise draws", 3)
    set_number(tab, "seed", 9)
    tab.get_by_role("button", name=EXAMPLES[1], exact=True).click()
    expect(tab.locator(".plein-air-picker .lab-root")).to_have_attribute("data-chosen", "0 1")
    tab.get_by_label("also plain noise").uncheck()
    tab.get_by_label("compare with models").click()
    browser_page.get_by_role("option", name=re.compile("^learned")).click()
    browser_page.keyboard.press("Escape")
    compute(tab)
    finish(tab)
    file = tmp_path / "bound.png"
    file.write_bytes(saved_figure(tab).read_bytes())
    saved = read_experiment(file.read_bytes())
    assert isinstance(saved, BoundRequest)
    assert (saved.draws, saved.seed, [c.model for c in saved.compared]) == (3, 9, ["learned"])
    browser_page.reload()
    expect(browser_page.locator(".player").first).to_have_attribute("data-state", "finished")
    browser_page.locator("#recipe-drop input[type=file]").set_input_files(file)
    expect(browser_page.get_by_text("The settings of this bound are restored")).to_be_visible()
    expect(root(tab)).to_have_attribute("data-run", "stored", timeout=PATIENCE)
    compute(tab)
    finish(tab)
    assert read_experiment(saved_figure(tab).read_bytes()) == saved


@pytest.mark.slow
def test_models_are_compared(browser_page: Page, tab: Locator) -> None:
    set_number(tab, "terms", 2)
    tab.get_by_label("compare with models").click()
    browser_page.get_by_role("option", name=re.compile("^learned")).click()
    browser_page.keyboard.press("Escape")
    tab.get_by_label("variance of a step").click()
    browser_page.get_by_role("option", name="learned, where the model has it").click()
    compute(tab)
    finish(tab)
    names = [row[0] for row in table(tab)]
    assert len(names) == 6
    assert {name.rpartition(", ")[2] for name in names} == {"tiny", "learned"}


@pytest.mark.slow
def test_a_model_that_came_meanwhile_can_be_compared(
    browser_page: Page, tab: Locator, model_root: Path
) -> None:
    shutil.copytree(model_root / "tiny", model_root / "newcomer")
    try:
        browser_page.reload()
        browser_page.get_by_role("tab", name="Bound", exact=True).click()
        tab.get_by_label("compare with models").click()
        expect(browser_page.get_by_role("option", name=re.compile("^newcomer"))).to_be_visible()
    finally:
        shutil.rmtree(model_root / "newcomer")


@pytest.mark.slow
def test_pictures_are_compared(tab: Locator) -> None:
    set_number(tab, "terms", 2)
    tab.get_by_label("also the first with its pixels shuffled").uncheck()
    tab.get_by_role("button", name=EXAMPLES[1], exact=True).click()
    expect(tab.locator(".plein-air-picker .lab-root")).to_have_attribute("data-chosen", "0 1")
    compute(tab)
    finish(tab)
    assert [row[0] for row in table(tab)] == [*EXAMPLES[:2], "plain noise"]


@pytest.mark.slow
def test_t_can_be_logarithmic(tab: Locator) -> None:
    before = root(tab).locator("polyline").first.get_attribute("points")
    root(tab).get_by_role("button", name="logarithmic").click()
    expect(root(tab).locator("polyline").first).not_to_have_attribute("points", before or "")


@pytest.mark.slow
def test_theory_leads_to_the_laboratories(browser_page: Page, studio: Server) -> None:
    theory = open_tab(browser_page, studio, "Theory")
    expect(theory.locator(".katex-display")).to_have_count(18)
    expect(theory.locator(".katex-error")).to_have_count(0)
    for button, name in (
        ("Move t in Noise", "Noise"),
        ("Mix two pictures in Mix", "Mix"),
        ("Compute every term in Bound", "Bound"),
        ("Watch it in Paint", "Paint"),
        ("Run algorithm 1 in Train", "Train"),
    ):
        browser_page.get_by_role("tab", name="Theory", exact=True).click()
        theory.get_by_role("button", name=button).click()
        expect(browser_page.get_by_role("tab", name=name, exact=True)).to_have_attribute(
            "aria-selected", "true"
        )
    browser_page.get_by_role("tab", name="Theory", exact=True).click()
    theory.get_by_role("button", name="Inspect the posterior in Noise").click()
    expect(browser_page.locator("#noise .lab-five .lab-root")).to_be_visible()
    expect(browser_page.get_by_role("tab", name="Posterior", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_no_laboratory_scrolls_sideways(browser_page: Page, studio: Server, size: str) -> None:
    page, width = browser_page, resize(browser_page, size)
    page.goto(studio.url)
    expect(page.locator(".player").first).to_be_visible(timeout=PATIENCE)
    for name in ("Noise", "Mix", "Bound", "Theory"):
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.locator(f"#{name.lower()}")).to_be_visible()
        expect(page.locator(f"#{name.lower()} .katex").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
