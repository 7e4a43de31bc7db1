"""A studio that opens with a latent model: listed, painted with, noised, mixed, or refused."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from app.laboratory.experiments import Denoising, Mixing, read_experiment
from app.painting.recipe import read_recipe
from tests.e2e.conftest import served_studio
from tests.e2e.lab_page import PATIENCE, colour, open_tab, set_number
from tools.server import Server

pytestmark = pytest.mark.e2e

MODEL = "AutoencoderKL"
SIDE = 32


@pytest.fixture(scope="module")
def studio(latent_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio that opens with a tiny latent model."""
    with served_studio(latent_root, MODEL, tmp_path_factory) as server:
        yield server


def run(page: Page, player: Locator, act: str) -> bytes:
    """Click on what begins a run; when the run has finished, give the PNG that it saves."""
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    before = player.get_attribute("data-run") or ""
    page.get_by_role("button", name=act, exact=True).locator("visible=true").click()
    expect(player).not_to_have_attribute("data-run", before, timeout=PATIENCE)
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    with page.expect_download() as download:
        player.locator(".player-save").click()
    expect(page.locator(".toast-body")).to_have_count(0)
    return Path(download.value.path()).read_bytes()


def side_of(png: bytes) -> int:
    return Image.open(io.BytesIO(png)).width


def test_it_is_listed_with_its_latents_and_paints(browser_page: Page, studio: Server) -> None:
    tab = open_tab(browser_page, studio, "Paint")
    chosen = browser_page.get_by_label("model", exact=True)
    expect(chosen).to_have_value(f"{MODEL} · {SIDE} px, latent · 0.2 M")
    player = tab.locator(".player")
    channels = player.get_by_role("button", name="channels")
    expect(channels).to_be_hidden()  # the kept run is of a model of pictures
    png = run(browser_page, player, "Paint")
    recipe = read_recipe(png)
    assert (recipe.model, side_of(png)) == (MODEL, 4 * SIDE)


def test_the_channels_of_a_latent_are_seen_on_a_switch_and_kept(
    browser_page: Page, studio: Server
) -> None:
    tab = open_tab(browser_page, studio, "Paint")
    player = tab.locator(".player")
    tab.get_by_text("as painted", exact=False).click()
    run(browser_page, player, "Paint")
    player.locator(".player-slider").press("Home")
    expect(player).to_have_attribute("data-i", "0")
    channels = player.get_by_role("button", name="channels")
    canvas = "#paint [data-view=x_t] canvas"
    places = [(x, y) for x in (0.2, 0.45, 0.7) for y in (0.2, 0.45, 0.7)]

    def grey() -> list[bool]:
        seen = [colour(browser_page, canvas, x, y) for x, y in places]
        return [max(rgb) - min(rgb) <= 8 for rgb in seen]

    assert not all(grey())
    channels.click()
    expect(channels).to_have_attribute("aria-pressed", "true")
    expect(player.get_by_text("its latent's channels")).to_be_visible()
    assert all(grey())
    browser_page.reload()
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    channels.click()
    expect(player.get_by_text("its latent's channels")).to_be_visible()
    assert all(grey()), "the browser has kept them"


def test_noise_shows_numbers_of_unit_noise_and_denoises(browser_page: Page, studio: Server) -> None:
    tab = open_tab(browser_page, studio, "Noise")
    slider = tab.locator(".plein-air-time [role=slider]")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "t 1000, signal < 1 percent")
    assert 0.8 < float(tab.locator("[data-read=std]").inner_text()) < 1.2
    tab.get_by_role("tab", name="Denoise from here").click()
    png = run(browser_page, tab.locator(".player"), "Denoise")
    assert isinstance(read_experiment(png), Denoising)


def test_an_untouched_mix_is_painted(browser_page: Page, studio: Server) -> None:
    tab = open_tab(browser_page, studio, "Mix")
    png = run(browser_page, tab.locator(".player"), "Mix")
    assert isinstance(read_experiment(png), Mixing)
    assert side_of(png) == SIDE


def test_a_grid_mixes_latents_under_mixed_pixels(browser_page: Page, studio: Server) -> None:
    tab = open_tab(browser_page, studio, "Mix")
    tab.get_by_role("tab", name="The grid", exact=True).click()
    set_number(tab, "rows", 2)
    tab.get_by_role("button", name="Paint the grid").click()
    grid = tab.locator(".plein-air-grid .lab-root")
    expect(grid).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(grid).to_have_attribute("data-rows", "3")
    headings = grid.get_by_role("rowheader")
    assert [it.strip() for it in headings.all_inner_texts()] == ["pixels", "t = 0", "t = 1000"]
    expect(grid.locator("canvas[data-row='2'][data-filled]").nth(2)).to_be_visible()


def test_bound_tells_the_nats_of_latents(browser_page: Page, studio: Server) -> None:
    tab = open_tab(browser_page, studio, "Bound")
    set_number(tab, "terms", 4)
    tab.get_by_role("button", name="Compute", exact=True).click()
    bound = tab.locator(".plein-air-bound .lab-root")
    expect(bound).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(tab.get_by_text("In nats for each of the latent's values")).to_be_visible()
    expect(tab.get_by_text("rate and distortion")).to_have_count(0)
    expect(tab.get_by_text("bits/dim")).to_have_count(0)
    cells = tab.locator(".lab-bound-table tbody tr").first.locator("td").all_inner_texts()
    assert cells[2] == "\N{EN DASH}"
    assert float(cells[3]) > 0


def test_calls_tell_of_the_latents_and_take_pictures(studio: Server, tmp_path: Path) -> None:
    client = Client(studio.url, verbose=False)
    found = {info["id"]: info for info in client.predict(api_name="/models")}
    space = {"channels": 4, "side": 8, "factor": 4, "scaling_factor": 0.5}
    assert found[MODEL]["latent"] == space
    assert (found[MODEL]["size"], found[MODEL]["channels"]) == (SIDE, 3)
    Image.new("RGB", (50, 40), "teal").save(tmp_path / "teal.png")
    given = handle_file(tmp_path / "teal.png")
    (file,), _ = client.predict(given, t=300, model=MODEL, steps=4, api_name="/denoise")
    assert side_of(Path(file).read_bytes()) == SIDE
