"""Controls whose limit is the model's T stay within it, whichever model a page opens with."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from app.laboratory.experiments import Denoising, Mixing, read_experiment
from app.painting.recipe import Recipe, read_recipe
from tests.conftest import save_tiny_model, set_timesteps
from tests.e2e.conftest import served_studio
from tests.e2e.lab_page import PATIENCE, open_tab
from tools.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

T = {"short": 100, "shorter": 20, "tiny": 1000}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio that opens with a model of T = 100."""
    root = tmp_path_factory.mktemp("models")
    for name, length in T.items():
        set_timesteps(save_tiny_model(root / name), length)
    with served_studio(root, "short", tmp_path_factory) as server:
        yield server


def choose(page: Page, model: str) -> None:
    """Choose a model in the header."""
    page.get_by_label("model", exact=True).click()
    page.get_by_role("option", name=re.compile(f"^{model} ")).click()


def steps(where: Locator | Page, label: str = "steps") -> Locator:
    return where.get_by_label(f"number input for {label}", exact=True).locator("visible=true")


def run(page: Page, player: Locator, act: str) -> bytes:
    """Click on what begins a run; when the run has finished, give the PNG that it saves."""
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    before = player.get_attribute("data-run") or ""
    page.get_by_role("button", name=act, exact=True).locator("visible=true").click()
    expect(player).not_to_have_attribute("data-run", before, timeout=PATIENCE)
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    with page.expect_download() as download:
        player.locator(".player-save").click()
    return Path(download.value.path()).read_bytes()


def expect_no_message(page: Page) -> None:
    expect(page.locator(".toast-body")).to_have_count(0)


def test_an_untouched_mix_is_painted(browser_page: Page, studio: Server) -> None:
    tab = open_tab(browser_page, studio, "Mix")
    mixing = read_experiment(run(browser_page, tab.locator(".player"), "Mix"))
    assert isinstance(mixing, Mixing)
    assert (mixing.t, mixing.run.steps) == (100, 100)
    expect_no_message(browser_page)


@pytest.mark.slow
def test_an_untouched_way_back_is_painted(browser_page: Page, studio: Server) -> None:
    tab = open_tab(browser_page, studio, "Noise")
    tab.get_by_role("tab", name="Denoise from here", exact=True).click()
    denoising = read_experiment(run(browser_page, tab.locator(".player"), "Denoise"))
    assert isinstance(denoising, Denoising)
    assert (denoising.t, denoising.run.steps) == (100, 100)
    expect_no_message(browser_page)


@pytest.mark.slow
def test_presets_are_within_the_models_steps(browser_page: Page, studio: Server) -> None:
    browser_page.goto(studio.url)
    player = browser_page.locator(".player").first
    browser_page.get_by_role("button", name="the full 100", exact=True).click()
    expect(steps(browser_page)).to_have_value("100")
    recipe = read_recipe(run(browser_page, player, "Paint"))
    assert (recipe.sampler, recipe.steps) == ("ddpm", 100)
    choose(browser_page, "shorter")
    expect(steps(browser_page)).to_have_value("20")
    for name in ("the full 20", "quick", "fine"):
        browser_page.get_by_role("button", name=name, exact=True).click()
        expect(steps(browser_page)).to_have_value("20")
    assert read_recipe(run(browser_page, player, "Paint")).steps == 20
    choose(browser_page, "tiny")
    browser_page.get_by_role("button", name="the full 1000", exact=True).click()
    expect(steps(browser_page)).to_have_value("1000")


def test_a_shorter_model_brings_every_value_within_its_t(
    browser_page: Page, studio: Server
) -> None:
    tab = open_tab(browser_page, studio, "Mix")
    tab.get_by_role("button", name="the way back").click()
    expect(steps(tab)).to_have_value("100")
    choose(browser_page, "shorter")
    expect(steps(tab)).to_have_value("20")
    expect(tab.locator(".plein-air-time [role=slider]")).to_have_attribute("aria-valuemax", "20")
    mixing = read_experiment(run(browser_page, tab.locator(".player"), "Mix"))
    assert isinstance(mixing, Mixing)
    assert (mixing.t, mixing.run.steps) == (20, 20)
    browser_page.get_by_role("tab", name="Bound", exact=True).click()
    expect(steps(browser_page.locator("#bound"), "terms: how many t")).to_have_value("20")
    expect_no_message(browser_page)


@pytest.mark.slow
def test_a_longer_models_recipe_is_restored_over_a_shorter_one(
    browser_page: Page, studio: Server
) -> None:
    wish = Recipe(model="tiny", sampler="ddim", steps=120, seed=3)
    browser_page.goto(f"{studio.url}?recipe={wish.to_link()}")
    expect(browser_page.get_by_text("The recipe is restored")).to_be_visible()
    expect(browser_page.get_by_role("button", name="the full 1000", exact=True)).to_be_visible()
    expect(steps(browser_page)).to_have_value("120")
    title = browser_page.locator(".player-title").first
    expect(title).to_have_text(re.compile(" 120 steps · seed 3 "), timeout=PATIENCE)
    expect(browser_page.locator(".player").first).to_have_attribute(
        "data-state", "finished", timeout=PATIENCE
    )


def test_calls_that_say_neither_t_nor_steps_are_within_the_models_t(
    studio: Server, tmp_path: Path
) -> None:
    client = Client(studio.url, verbose=False)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (20, 20), "green").save(picture)
    file = handle_file(picture)
    (_, (painted,)) = client.predict(api_name="/paint")
    assert painted["steps"] == 50
    (_, (painted,)) = client.predict(model="shorter", api_name="/paint")
    assert painted["steps"] == 20
    pair = {"first": file, "second": file, "model": "shorter"}
    for name, how in (("/mix", pair), ("/denoise", {"picture": file, "model": "shorter"})):
        (_, (done, *_)) = client.predict(**how, api_name=name)
        assert (done["t"], done["run"]["steps"]) == (20, 20)
    (*_, morph) = client.predict(**pair, frames=2, api_name="/mix_morph")
    assert (morph["t"], morph["run"]["steps"]) == (20, 20)
    for name in ("/noise_chain", "/noise_posterior"):
        file_name, _ = client.predict(file, model="shorter", api_name=name)
        assert Path(file_name).stem.endswith("-20")
    with pytest.raises(AppError, match="T = 20"):
        client.predict(file, model="shorter", t=21, api_name="/noise_chain")
