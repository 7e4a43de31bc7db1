"""A model's own list of steps, beside quick and fine: chosen, painted with, and forgotten."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.models.store import ModelStore
from app.painting.recipe import Recipe
from tests.e2e.conftest import served_studio
from tests.e2e.lab_page import PATIENCE, set_number
from tests.e2e.test_paint import expect_state, saved
from tools.server import Server

pytestmark = pytest.mark.e2e

STEP_T, STEP_ETA = (1000, 700, 300, 90), (1.0, 0.5, 0.0, 0.0)


@pytest.fixture(scope="module")
def studio(model_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio whose model has a list of four steps."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(model_root / "tiny", models / "tiny")
    schedule = {
        "name": "4 steps",
        "sampler": "dpm-solver-eta",
        "step_t": STEP_T,
        "step_eta": STEP_ETA,
        "weights": ModelStore([models]).find("tiny").weights_sha256,
    }
    (models / "tiny" / "schedules.json").write_text(json.dumps({"schedules": [schedule]}))
    with served_studio(models, "tiny", tmp_path_factory) as server:
        yield server


def painted(page: Page) -> Recipe:
    """Paint with the form as it is, and read the recipe in the PNG that Save gives."""
    player = page.locator("#paint .player")
    before = player.get_attribute("data-run") or ""
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(player).not_to_have_attribute("data-run", before, timeout=PATIENCE)
    expect_state(page, "finished")
    return saved(page)


def test_a_models_steps_are_offered_painted_with_and_forgotten(
    browser_page: Page, studio: Server
) -> None:
    browser_page.goto(studio.url)
    expect_state(browser_page, "finished")
    browser_page.get_by_role("button", name="4 steps", exact=True).click()
    steps = browser_page.get_by_label("number input for steps", exact=True)
    expect(steps).to_have_value("4", timeout=PATIENCE)
    recipe = painted(browser_page)
    assert (recipe.sampler, recipe.steps) == ("dpm-solver-eta", 4)
    assert (recipe.step_t, recipe.step_eta) == (STEP_T, STEP_ETA)
    expect(browser_page.locator(".player-title")).to_contain_text("4 listed steps")
    browser_page.reload()
    expect_state(browser_page, "finished")
    expect(steps).to_have_value("4", timeout=PATIENCE)
    assert painted(browser_page).step_t == STEP_T, "a reload keeps them"
    set_number(browser_page, "steps", 5)
    recipe = painted(browser_page)
    assert (recipe.steps, recipe.step_t, recipe.step_eta) == (5, None, None)


def test_an_eta_set_by_hand_takes_the_lists_place(browser_page: Page, studio: Server) -> None:
    browser_page.goto(studio.url)
    expect_state(browser_page, "finished")
    browser_page.get_by_role("button", name="4 steps", exact=True).click()
    eta = browser_page.get_by_label("number input for eta", exact=True)
    expect(eta).to_have_value("0", timeout=PATIENCE)
    set_number(browser_page, "eta", 0.5)
    recipe = painted(browser_page)
    assert (recipe.sampler, recipe.eta, recipe.step_t) == ("dpm-solver-eta", 0.5, None)
