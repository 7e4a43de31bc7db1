"""The Mix tab of a served studio, in a real browser, with a network of 0.1 M weights."""

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from app.diffusion.mixing import DEFAULT_RULE
from app.images.encoding import png_bytes
from app.laboratory.experiments import Grid, Mixing, Morph, SeedMorph, read_experiment
from app.painting.examples import load_examples
from app.painting.recipe import Recipe
from app.painting.sources import PictureSource
from app.settings import ASSETS, Settings
from app.studio import Studio
from tests.e2e.lab_page import (
    ENLARGE,
    EXAMPLES,
    PATIENCE,
    asked_of,
    go_to,
    held_back,
    open_tab,
    set_number,
    to_server,
    upload,
    waited_for,
    wide_picture,
)
from tests.e2e.mouse import drag
from tools.server import Server

pytestmark = pytest.mark.e2e

STAGE = ".plein-air-mixture .lab-root"


@pytest.fixture
def tab(browser_page: Page, studio: Server) -> Locator:
    """The Mix tab, ready."""
    tab = open_tab(browser_page, studio, "Mix")
    expect(tab.locator(STAGE)).to_have_attribute("data-ready", "true", timeout=PATIENCE)
    return tab


def panel(tab: Locator, name: str) -> None:
    tab.get_by_role("tab", name=name, exact=True).click()


def number(tab: Locator, name: str) -> float:
    return float((tab.locator(f"[data-read={name}]").text_content() or "").split(" ")[0])


def choose_rule(tab: Locator, name: str) -> None:
    tab.get_by_label("mixing rule").click()
    tab.page.get_by_role("option", name=name, exact=True).click()


def saved(tab: Locator, button: Locator) -> Path:
    with tab.page.expect_download() as download:
        button.click()
    return Path(download.value.path())


def test_t_and_lambda_mix_in_the_browser_without_asking_the_server(
    browser_page: Page, tab: Locator
) -> None:
    stage = tab.locator(STAGE)
    asked = asked_of(browser_page)
    drag(tab.locator(".plein-air-time .lab-track"), 0.5, 0.8, 0.4)
    t = tab.locator("[role=slider]").first.get_attribute("aria-valuenow") or ""
    expect(stage).to_have_attribute("data-t", t)
    rail = tab.get_by_label("range slider for λ")
    rail.focus()
    for _ in range(5):
        rail.press("ArrowRight")
    expect(stage).to_have_attribute("data-mix", "0.55")
    drag(tab.get_by_label("range slider for λ"), 0.1, 0.8, steps=4)
    expect(stage).to_have_attribute("data-mix", re.compile(r"^0\.(7|8)"))
    choose_rule(tab, "slerp")
    expect(stage).to_have_attribute("data-rule", "slerp")
    assert to_server(asked) == []


@pytest.mark.slow
def test_variances_in_the_browser_are_the_services(tab: Locator, model_root: Path) -> None:
    lab = Studio(Settings(models_dir=model_root, default_model="tiny")).mix_lab
    pair = []
    for place in (0, 4):
        example = load_examples(ASSETS / "showcase")[place]
        with Image.open(example.small_path) as image:
            pair.append(PictureSource.of(image))
    run = Recipe(model="tiny", seed=42)
    mixing = Mixing(run=run, first=pair[0], second=pair[1], t=300, mix=0.35, seed=42)
    variances = {found.rule: found for found in lab.variances(lab.complete(mixing))}
    go_to(tab, 300)
    set_number(tab, "λ", 0.35)
    for rule, name in (
        (DEFAULT_RULE, ""),
        ("linear", "linear, two noises"),
        ("shared", "linear, one noise"),
        ("slerp", "slerp"),
    ):
        if name:
            choose_rule(tab, name)
        expect(tab.locator(STAGE)).to_have_attribute("data-rule", rule)
        expect(tab.locator(STAGE)).to_have_attribute("data-mix", "0.35")
        found = variances[rule]
        at = found.mixes.index(0.35)
        assert number(tab, "variance") == pytest.approx(found.x_t_variance[at], abs=2e-3)
        assert number(tab, "kept") == pytest.approx(100 * found.noise_variance[at], abs=0.6)


@pytest.mark.slow
def test_both_pictures_can_be_chosen_and_uploaded(tab: Locator) -> None:
    picker = tab.locator(".plein-air-picker .lab-root")
    expect(picker).to_have_attribute("data-chosen", "0 4")
    tab.get_by_role("button", name=EXAMPLES[1], exact=True).click()
    expect(picker).to_have_attribute("data-chosen", "1 4")
    tab.get_by_role("button", name=EXAMPLES[7], exact=True).click()
    expect(picker).to_have_attribute("data-chosen", "1 7")
    b = tab.get_by_role("button", name=re.compile("^picture B"))
    b.click()
    expect(b).to_have_attribute("aria-pressed", "true")
    upload(tab, wide_picture())
    expect(picker).to_have_attribute("data-chosen", "1 8")


@pytest.mark.slow
def test_quick_clicks_fill_both_slots(browser_page: Page, tab: Locator) -> None:
    browser_page.evaluate(
        """() => {
            const thumbs = document.querySelectorAll("#mix .lab-thumbs button");
            for (const n of [2, 3, 5, 6]) thumbs[n].click();
        }"""
    )
    picker = tab.locator(".plein-air-picker .lab-root")
    expect(picker).to_have_attribute("data-chosen", "5 6")
    expect(picker.locator(".lab-slots canvas:visible")).to_have_count(2)


@pytest.mark.slow
def test_the_slots_never_show_another_pair_than_is_chosen(browser_page: Page, tab: Locator) -> None:
    picker = tab.locator(".plein-air-picker .lab-root")
    seen = picker.locator(".lab-slots canvas:visible")
    expect(seen).to_have_count(2)
    with held_back(browser_page, passing=1) as held:
        picker.locator(".lab-thumbs button").nth(1).click()
        expect(picker).to_have_attribute("data-chosen", "1 4")
        expect(seen).to_have_count(0)
        expect(picker.locator(".lab-slots img:visible")).to_have_count(2)
        waited_for(browser_page, held)
    expect(seen).to_have_count(2)


def test_a_mixture_is_decoded_from_the_sliders_t(tab: Locator) -> None:
    player = tab.locator(".player")
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    stored = player.get_attribute("data-run") or ""
    go_to(tab, 250)
    set_number(tab, "λ", 0.25)
    set_number(tab, "variations", 2)
    tab.get_by_role("button", name="Mix", exact=True).click()
    expect(player).not_to_have_attribute("data-run", stored)
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    # 200 steps from T are 50 from t = 250, and the first moment is x_250 itself.
    expect(player).to_have_attribute("data-i", "50")
    player.locator(".player-slider").press("Home")
    expect(player.locator("[data-read=t]")).to_have_text("250")
    experiment = read_experiment(saved(tab, player.locator(".player-save")).read_bytes())
    assert isinstance(experiment, Mixing)
    assert (experiment.t, experiment.mix, experiment.rule) == (250, 0.25, DEFAULT_RULE)
    assert (experiment.run.pictures, experiment.run.steps) == (2, 200)


def test_a_mixture_is_guided_to_a_class_and_a_dropped_png_guides_it_again(
    browser_page: Page, tab: Locator, tmp_path: Path
) -> None:
    browser_page.get_by_label("model", exact=True).click()
    browser_page.get_by_role("option", name=re.compile("^classes")).click()
    tab.get_by_role("button", name="the way back").click()
    tab.get_by_label("class", exact=True).click()
    browser_page.get_by_role("option", name="river · 41", exact=True).click()
    for name, value in {"steps": 6, "guidance": 3, "guidance from t": 700}.items():
        field = tab.get_by_label(f"number input for {name}", exact=True)
        field.fill(str(value))
        field.press("Tab")
    player = tab.locator(".player")
    tab.get_by_role("button", name="Mix", exact=True).click()
    expect(player.locator(".player-title")).to_contain_text("guided by 3", timeout=PATIENCE)
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    file = tmp_path / "mixture.png"
    file.write_bytes(saved(tab, player.locator(".player-save")).read_bytes())
    experiment = read_experiment(file.read_bytes())
    assert isinstance(experiment, Mixing)
    run = experiment.run
    assert (run.label, run.guidance_scale, run.guidance_from, run.guidance_to) == (1, 3, 700, 0)
    browser_page.reload()
    expect(browser_page.locator(".player").first).to_have_attribute("data-state", "finished")
    browser_page.locator("#recipe-drop input[type=file]").set_input_files(file)
    restored = browser_page.get_by_text("The settings of this mixing are restored: it can be")
    expect(restored).to_be_visible(timeout=PATIENCE)
    expect(tab.get_by_label("class", exact=True)).to_have_value("river · 41")
    tab.get_by_role("button", name="the way back").click()
    for name, value in {"guidance": 3, "guidance from t": 700, "guidance to t": 0}.items():
        field = tab.get_by_label(f"number input for {name}", exact=True)
        expect(field).to_have_value(str(value))


@pytest.mark.slow
def test_a_dropped_png_restores_its_mixture(
    browser_page: Page, tab: Locator, tmp_path: Path
) -> None:
    go_to(tab, 30)
    set_number(tab, "λ", 0.8)
    choose_rule(tab, "slerp")
    player = tab.locator(".player")
    tab.get_by_role("button", name="Mix", exact=True).click()
    expect(player.locator(".player-title")).to_have_text(re.compile("t = 30, λ = 0.8, slerp"))
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    file = tmp_path / "mixture.png"
    file.write_bytes(saved(tab, player.locator(".player-save")).read_bytes())
    browser_page.reload()
    expect(browser_page.locator(".player").first).to_have_attribute("data-state", "finished")
    browser_page.locator("#recipe-drop input[type=file]").set_input_files(file)
    expect(browser_page.get_by_text("The settings of this mixing are restored")).to_be_visible()
    stage = tab.locator(STAGE)
    expect(stage).to_have_attribute("data-t", "30", timeout=PATIENCE)
    expect(stage).to_have_attribute("data-mix", "0.8")
    expect(stage).to_have_attribute("data-rule", "slerp")


def drop_again(page: Page, file: Path, name: str) -> None:
    """Reload the page, and drop a PNG on it."""
    page.reload()
    expect(page.locator(".player").first).to_have_attribute("data-state", "finished")
    page.locator("#recipe-drop input[type=file]").set_input_files(file)
    expect(page.get_by_text(f"The settings of this {name} are restored")).to_be_visible()


@pytest.mark.slow
def test_a_dropped_grid_is_painted_again(browser_page: Page, tab: Locator, tmp_path: Path) -> None:
    tab.locator(".lab-thumbs button").nth(2).click()
    browser_page.get_by_label("exact", exact=True).check(force=True)
    panel(tab, "The grid")
    set_number(tab, "rows", 2)
    set_number(tab, "λ between A and B", 1)
    tab.get_by_label("one noise on the way back").uncheck()
    grid = tab.locator(".plein-air-grid .lab-root")
    paint = tab.get_by_role("button", name="Paint the grid")
    paint.click()
    expect(grid).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    file = tmp_path / "grid.png"
    file.write_bytes(saved(tab, grid.get_by_role("button", name="PNG")).read_bytes())
    experiment = read_experiment(file.read_bytes())
    assert isinstance(experiment, Grid)
    assert (len(experiment.rows), experiment.between, experiment.share_noise) == (2, 1, False)
    assert experiment.run.precision == "exact"
    drop_again(browser_page, file, "grid")
    # Model and seed are what they were, and yet the stage shows the pictures that came.
    expect(tab.locator(".lab-slots canvas:visible")).to_have_count(2, timeout=PATIENCE)
    panel(tab, "The grid")
    paint.click()
    expect(grid).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    again = read_experiment(saved(tab, grid.get_by_role("button", name="PNG")).read_bytes())
    assert isinstance(again, Grid)
    assert again == experiment


@pytest.mark.slow
def test_a_dropped_seed_morph_chooses_its_way(
    browser_page: Page, tab: Locator, tmp_path: Path
) -> None:
    file = tmp_path / "morph.png"
    morph = SeedMorph(run=Recipe(model="tiny", sampler="ddpm", seed=3), second=9, frames=5)
    file.write_bytes(png_bytes(Image.new("RGB", (4, 4)), morph))
    drop_again(browser_page, file, "seed morph")
    panel(tab, "Morph")
    expect(tab.get_by_label("between two seeds")).to_be_checked()
    expect(tab.get_by_label("second seed")).to_have_value("9")


@pytest.mark.slow
def test_at_t_0_pixels_are_mixed(tab: Locator) -> None:
    player = tab.locator(".player")
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    go_to(tab, 0)
    tab.get_by_role("button", name="Mix", exact=True).click()
    expect(player.locator(".player-title")).to_have_text(re.compile("t = 0, λ = 0.5"))
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(player.locator("[data-read=t]")).to_have_text("0")
    experiment = read_experiment(saved(tab, player.locator(".player-save")).read_bytes())
    assert isinstance(experiment, Mixing)
    assert experiment.t == 0


def test_a_small_grid_fills_in_and_carries_its_recipe(tab: Locator) -> None:
    panel(tab, "The grid")
    set_number(tab, "rows", 3)
    set_number(tab, "λ between A and B", 1)
    expect(tab.locator(".lab-estimate.prose:visible")).to_contain_text(
        re.compile(r"9 pictures · 300 network steps · about \d+ s")
    )
    grid = tab.locator(".plein-air-grid .lab-root")
    tab.get_by_role("button", name="Paint the grid").click()
    expect(grid).to_have_attribute("data-state", "live", timeout=PATIENCE)
    expect(grid.locator("canvas")).to_have_count(15)
    expect(grid).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(grid.locator("canvas[data-filled]")).to_have_count(15)
    expect(grid.get_by_role("rowheader")).to_have_text(["t = 0", "t = 500", "t = 1000"])
    file = saved(tab, grid.get_by_role("button", name="PNG"))
    experiment = read_experiment(file.read_bytes())
    assert isinstance(experiment, Grid)
    assert (experiment.rows, experiment.between) == ((0, 500, 1000), 1)


@pytest.mark.slow
def test_stopping_a_grid_keeps_its_rows(tab: Locator) -> None:
    panel(tab, "The grid")
    grid = tab.locator(".plein-air-grid .lab-root")
    set_number(tab, "rows", 17)
    tab.get_by_role("button", name="Paint the grid").click()
    expect(grid).to_have_attribute("data-state", "live", timeout=PATIENCE)
    expect(grid).to_have_attribute("data-rows", re.compile("[1-9]"), timeout=PATIENCE)
    grid.get_by_role("button", name="Stop").click()
    expect(grid).to_have_attribute("data-state", "stopped")
    expect(grid.locator(".lab-progress")).to_have_text(re.compile("^stopped · step"))
    rows = int(grid.get_attribute("data-rows") or 0)
    assert rows < 17
    with Image.open(saved(tab, grid.get_by_role("button", name="PNG"))) as sheet:
        assert sheet.format == "PNG"
    tab.page.wait_for_timeout(1500)
    arrived = int(grid.get_attribute("data-rows") or 0)
    assert arrived < 17  # what was on its way when Stop was clicked
    tab.page.wait_for_timeout(1500)
    assert int(grid.get_attribute("data-rows") or 0) == arrived


@pytest.mark.slow
def test_after_a_stop_the_next_click_paints_at_once(tab: Locator) -> None:
    panel(tab, "The grid")
    grid = tab.locator(".plein-air-grid .lab-root")
    button = tab.get_by_role("button", name="Paint the grid")
    set_number(tab, "rows", 17)
    button.click()
    expect(grid).to_have_attribute("data-state", "live", timeout=PATIENCE)
    stopped = grid.get_attribute("data-run") or ""
    # Both in one turn of the page, before it can have heard from the server.
    button.evaluate(
        """(button) => {
            document.querySelector(".plein-air-grid .lab-stop").click();
            button.click();
        }"""
    )
    expect(grid).not_to_have_attribute("data-run", stopped, timeout=PATIENCE)
    expect(grid).to_have_attribute("data-state", "live")


@pytest.mark.slow
def test_a_new_grid_ends_the_one_before(tab: Locator) -> None:
    panel(tab, "The grid")
    grid = tab.locator(".plein-air-grid .lab-root")
    button = tab.get_by_role("button", name="Paint the grid")
    set_number(tab, "rows", 17)
    button.click()
    expect(grid).to_have_attribute("data-state", "live", timeout=PATIENCE)
    set_number(tab, "rows", 2)
    button.click()
    expect(grid.get_by_role("rowheader")).to_have_count(2, timeout=PATIENCE)
    expect(grid).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(grid).to_have_attribute("data-rows", "2")


@pytest.mark.slow
def test_first_sight_is_saved_with_its_recipe(tab: Locator) -> None:
    panel(tab, "The grid")
    grid = tab.locator(".plein-air-grid .lab-root")
    expect(grid).to_have_attribute("data-rows", "9", timeout=PATIENCE)
    experiment = read_experiment(saved(tab, grid.get_by_role("button", name="PNG")).read_bytes())
    assert isinstance(experiment, Grid)
    assert (experiment.run.model, len(experiment.rows)) == ("impressionist-64", 9)
    panel(tab, "Morph")
    morph = tab.locator(".plein-air-morph .lab-root")
    expect(morph).to_have_attribute("data-frames", "16", timeout=PATIENCE)
    strip = saved(tab, morph.get_by_role("button", name="Strip"))
    assert read_experiment(strip.read_bytes()).experiment == "morph"
    with Image.open(saved(tab, morph.get_by_role("button", name="GIF"))) as gif:
        assert getattr(gif, "n_frames", 1) == 31


@pytest.mark.slow
def test_the_time_of_a_morph_follows_t(tab: Locator) -> None:
    panel(tab, "Morph")
    estimate = tab.locator(".lab-estimate.prose:visible")
    expect(estimate).to_contain_text("16 pictures · 200 network steps", timeout=PATIENCE)
    go_to(tab, 1000)
    expect(estimate).to_contain_text("16 pictures · 400 network steps")


@pytest.mark.slow
def test_stopping_a_morph_keeps_its_frames(tab: Locator) -> None:
    panel(tab, "Morph")
    set_number(tab, "frames", 64)
    morph = tab.locator(".plein-air-morph .lab-root")
    tab.get_by_role("button", name="Paint the morph").click()
    expect(morph).to_have_attribute("data-state", "live", timeout=PATIENCE)
    expect(morph).to_have_attribute("data-frames", re.compile("[1-9]"), timeout=PATIENCE)
    morph.get_by_role("button", name="Stop").click()
    expect(morph).to_have_attribute("data-state", "stopped")
    file = saved(tab, morph.get_by_role("button", name="Strip"))
    experiment = read_experiment(file.read_bytes())
    assert isinstance(experiment, Morph)
    assert (experiment.run.model, experiment.frames) == ("tiny", 64)
    with Image.open(saved(tab, morph.get_by_role("button", name="GIF"))) as gif:
        assert getattr(gif, "n_frames", 1) < 2 * 64 - 1


def test_a_file_that_is_being_made_says_so_at_once(browser_page: Page, tab: Locator) -> None:
    player = tab.locator(".player")
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    with browser_page.expect_download(timeout=PATIENCE), held_back(browser_page) as held:
        player.get_by_role("button", name="GIF").click()
        working = re.compile("^making the animation")
        expect(player.locator(".player-progress")).to_have_text(working, timeout=1000)
        waited_for(browser_page, held)
    panel(tab, "Morph")
    gif = tab.locator(".plein-air-morph .lab-root").get_by_role("button", name="GIF")
    expect(gif).to_be_enabled(timeout=PATIENCE)
    with browser_page.expect_download(timeout=PATIENCE), held_back(browser_page) as held:
        gif.click()
        expect(gif).to_have_attribute("aria-busy", "true", timeout=1000)
        waited_for(browser_page, held)
    expect(gif).not_to_have_attribute("aria-busy", "true")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["from A to B", "between two seeds"])
def test_a_morph_is_painted_moved_through_and_saved(tab: Locator, way: str) -> None:
    panel(tab, "Morph")
    set_number(tab, "frames", 4)
    tab.get_by_label(way).check(force=True)
    morph = tab.locator(".plein-air-morph .lab-root")
    tab.get_by_role("button", name="Paint the morph").click()
    expect(morph).to_have_attribute("data-frames", "4", timeout=PATIENCE)
    expect(morph).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    slider = morph.get_by_role("slider")
    drag(morph.locator(".lab-track"), 0, 1 / 3)
    expect(slider).to_have_attribute("aria-valuetext", "frame 2, 1/3")
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "frame 4, 1")
    with Image.open(saved(tab, morph.get_by_role("button", name="GIF"))) as gif:
        assert getattr(gif, "n_frames", 1) > 4
    strip = saved(tab, morph.get_by_role("button", name="Strip"))
    kind = "morph" if way == "from A to B" else "seed_morph"
    assert read_experiment(strip.read_bytes()).experiment == kind


@pytest.mark.slow
def test_a_mixture_is_enlarged_in_its_player(tab: Locator) -> None:
    player = tab.locator(".player")
    enlarge = player.get_by_role("button", name=ENLARGE)
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(enlarge).to_be_visible()  # of the kept mixture
    go_to(tab, 50)
    set_number(tab, "variations", 2)
    tab.get_by_role("button", name="Mix", exact=True).click()
    expect(player.locator(".player-title")).to_have_text(re.compile("t = 50,"))
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    enlarge.click()
    expect(player.locator(".player-title")).to_have_text(re.compile("64 px, brushwork 0"))
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(enlarge).to_be_disabled()
    file = saved(tab, player.locator(".player-save"))
    experiment = read_experiment(file.read_bytes())
    assert isinstance(experiment, Mixing)
    assert (experiment.t, experiment.run.size, experiment.run.pictures) == (50, 64, 2)
    with Image.open(file) as picture:
        assert picture.size == (64, 64)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["from A to B", "between two seeds"])
def test_a_morph_is_enlarged_and_saved_large(tab: Locator, way: str) -> None:
    panel(tab, "Morph")
    set_number(tab, "frames", 4)
    tab.get_by_label(way).check(force=True)
    go_to(tab, 50)
    morph = tab.locator(".plein-air-morph .lab-root")
    enlarge = morph.get_by_role("button", name=ENLARGE)
    expect(enlarge).to_be_enabled()  # of the kept morph
    tab.get_by_role("button", name="Paint the morph").click()
    expect(morph).to_have_attribute("data-frames", "4", timeout=PATIENCE)
    expect(morph).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(morph).to_have_attribute("data-tile", "16")
    enlarge.click()
    expect(morph).to_have_attribute("data-tile", "64", timeout=PATIENCE)
    expect(morph).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(enlarge).to_be_hidden()
    strip = saved(tab, morph.get_by_role("button", name="Strip"))
    experiment = read_experiment(strip.read_bytes())
    assert isinstance(experiment, Morph | SeedMorph)
    assert (experiment.frames, experiment.run.size) == (4, 64)
    with Image.open(saved(tab, morph.get_by_role("button", name="GIF"))) as gif:
        assert gif.size == (256, 256)


@pytest.mark.slow
def test_a_grid_is_enlarged_on_its_sheet(tab: Locator) -> None:
    panel(tab, "The grid")
    set_number(tab, "rows", 2)
    set_number(tab, "λ between A and B", 1)
    grid = tab.locator(".plein-air-grid .lab-root")
    tab.get_by_role("button", name="Paint the grid").click()
    expect(grid.get_by_role("rowheader")).to_have_count(2, timeout=PATIENCE)
    expect(grid).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    grid.get_by_role("button", name=ENLARGE).click()
    expect(grid).to_have_attribute("data-tile", "64", timeout=PATIENCE)
    expect(grid).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(grid.locator("canvas[data-filled]")).to_have_count(10)
    experiment = read_experiment(saved(tab, grid.get_by_role("button", name="PNG")).read_bytes())
    assert isinstance(experiment, Grid)
    assert (len(experiment.rows), experiment.run.size) == (2, 64)


@pytest.mark.slow
def test_a_morph_is_painted_large_at_once_where_that_is_chosen(tab: Locator) -> None:
    panel(tab, "Morph")
    set_number(tab, "frames", 4)
    estimate = tab.locator(".lab-estimate.prose:visible")
    expect(estimate).to_contain_text("4 pictures · 100 network steps", timeout=PATIENCE)
    tab.get_by_label("64 px").check(force=True)
    expect(estimate).to_contain_text("4 pictures · 112 network steps")
    tab.get_by_role("button", name="Paint the morph").click()
    morph = tab.locator(".plein-air-morph .lab-root")
    expect(morph).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(morph).to_have_attribute("data-tile", "64")
    assert ENLARGE in (morph.text_content() or "")
    expect(morph.get_by_role("button", name=ENLARGE)).to_be_hidden()
