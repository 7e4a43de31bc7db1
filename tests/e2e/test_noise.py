"""The Noise tab of a served studio, in a real browser, with a network of 0.1 M weights."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from app.diffusion.schedule import NoiseSchedule, code_t
from app.images.encoding import png_bytes
from app.images.pixels import evenly_spaced
from app.laboratory.experiments import Denoising, ForwardStrip, read_experiment
from app.painting.canvas import decoded
from app.painting.examples import load_examples
from app.painting.sources import PictureSource
from app.settings import ASSETS, Settings
from app.studio import Studio
from tests.conftest import save_tiny_model, set_timesteps
from tests.e2e.lab_page import (
    ENLARGE,
    EXAMPLES,
    PATIENCE,
    asked_of,
    colour,
    go_to,
    held_back,
    near,
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

STAGE = ".plein-air-noise .lab-root"


@pytest.fixture
def tab(browser_page: Page, studio: Server) -> Locator:
    """The Noise tab, ready."""
    tab = open_tab(browser_page, studio, "Noise")
    expect(tab.locator(STAGE)).to_have_attribute("data-ready", "true", timeout=PATIENCE)
    return tab


@pytest.fixture
def short(model_root: Path) -> Iterator[None]:
    """One model more, of T = 100."""
    set_timesteps(save_tiny_model(model_root / "short"), 100)
    yield
    shutil.rmtree(model_root / "short")


def reading(tab: Locator, name: str) -> str:
    text = tab.locator(f"[data-read={name}]").text_content() or ""
    return text.replace("\N{MINUS SIGN}", "-")


def panel(tab: Locator, name: str) -> None:
    tab.get_by_role("tab", name=name, exact=True).click()


def test_dragging_t_noises_the_picture_without_asking_the_server(
    browser_page: Page, tab: Locator
) -> None:
    asked = asked_of(browser_page)
    seen = []
    for share in (0.9, 0.5, 0.1):
        drag(tab.locator(".plein-air-time .lab-track"), share - 0.05, share)
        t = int(tab.locator("[role=slider]").first.get_attribute("aria-valuenow") or -1)
        assert t == pytest.approx(1000 * (1 - share), abs=5)
        expect(tab.locator(STAGE)).to_have_attribute("data-t", str(t))
        seen.append((t, float(reading(tab, "alpha_bar")), reading(tab, "std")))
    assert to_server(asked) == []
    schedule = NoiseSchedule.named()
    for t, alpha_bar, _ in seen:
        assert alpha_bar == pytest.approx(schedule.level(code_t(t)).signal, rel=0.01)
    assert len({std for *_, std in seen}) == 3


@pytest.mark.slow
def test_x_t_in_the_browser_is_the_services(tab: Locator, model_root: Path) -> None:
    lab = Studio(Settings(models_dir=model_root, default_model="tiny")).noise_lab
    example = load_examples(ASSETS / "showcase")[0]
    with Image.open(example.small_path) as image:
        source = PictureSource.of(image)
    strip = lab.strip(ForwardStrip(model="tiny", source=source, moments=11, seed=42))
    for moment in strip.moments[::3]:
        go_to(tab, moment.t)
        expect(tab.locator(STAGE)).to_have_attribute("data-t", str(moment.t))
        assert float(reading(tab, "mean")) == pytest.approx(moment.sample.mean, abs=1.1e-3)
        assert float(reading(tab, "std")) == pytest.approx(moment.sample.std, abs=1.1e-3)


DRAW_ALL_LEVELS = """(scripts) => {
    const draw = new Function(`${scripts}; return drawValues;`)();
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 16;
    draw(canvas, Float32Array.from({ length: 768 }, (_, j) => Math.floor(j / 3) / 127.5 - 1), 16);
    return [...canvas.getContext("2d").getImageData(0, 0, 16, 16).data].filter((_, i) => i % 4 < 3);
}"""


def test_a_canvas_shows_every_level_as_it_is(browser_page: Page) -> None:
    names = ("player_view.js", "core.js")
    scripts = "\n".join((ASSETS / "components" / name).read_text("utf-8") for name in names)
    levels = browser_page.evaluate(DRAW_ALL_LEVELS, scripts)
    assert levels == [level for level in range(256) for _ in "rgb"]


@pytest.mark.slow
def test_the_noise_is_fixed_or_fresh(tab: Locator) -> None:
    def mean_at(t: int) -> str:
        go_to(tab, t)
        expect(tab.locator(STAGE)).to_have_attribute("data-t", str(t))
        return reading(tab, "mean")

    fixed = mean_at(980)
    mean_at(1000)
    assert mean_at(980) == fixed
    tab.get_by_label("fresh noise at every t").check()
    means = {mean_at(980), mean_at(1000), mean_at(980), mean_at(1000)}
    assert len(means) >= 3


@pytest.mark.slow
def test_new_seed_draws_new_noise(tab: Locator) -> None:
    go_to(tab, 1000)
    before = reading(tab, "mean")
    set_number(tab, "seed", 7)
    expect(tab.locator("[data-read=mean]")).not_to_have_text(before)


@pytest.mark.slow
def test_the_slider_says_where_it_is(tab: Locator) -> None:
    slider = tab.locator(".plein-air-time [role=slider]")
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "t 0, signal 100 percent")
    expect(tab.locator("[data-read=snr]")).to_have_text("∞ dB")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "t 1000, signal < 1 percent")


@pytest.mark.slow
def test_an_upload_is_cropped_or_squashed_and_shown_as_the_model_sees_it(
    browser_page: Page, tab: Locator
) -> None:
    canvas = "[data-view=x_0]"
    upload(tab, wide_picture())
    picker = tab.locator(".plein-air-picker .lab-root")
    expect(picker).to_have_attribute("data-chosen", "8")
    browser_page.wait_for_function(
        "document.querySelector('[data-view=x_0]').getContext('2d')"
        ".getImageData(3, 3, 1, 1).data[1] < 40"
    )
    assert near(colour(browser_page, canvas, 0.05), (200, 0, 0))
    tab.get_by_label("squash", exact=True).check(force=True)
    browser_page.wait_for_function(
        "document.querySelector('[data-view=x_0]').getContext('2d')"
        ".getImageData(3, 3, 1, 1).data[0] < 40"
    )
    assert near(colour(browser_page, canvas, 0.05), (0, 0, 200))
    assert near(colour(browser_page, canvas, 0.5), (200, 0, 0))


@pytest.mark.slow
def test_every_one_of_quick_clicks_counts_and_the_last_is_shown(
    browser_page: Page, tab: Locator
) -> None:
    browser_page.evaluate(
        """() => {
            const thumbs = document.querySelectorAll("#noise .lab-thumbs button");
            for (const n of [1, 2, 3, 4, 5]) thumbs[n].click();
        }"""
    )
    expect(tab.locator(".plein-air-picker .lab-root")).to_have_attribute("data-chosen", "5")
    # What the stage draws of x_0 is what the picker shows as chosen, but for its JPEG.
    browser_page.wait_for_function(
        """() => {
            const values = (image) => {
                const canvas = document.createElement("canvas");
                canvas.width = canvas.height = 8;
                const context = canvas.getContext("2d");
                context.drawImage(image, 0, 0, 8, 8);
                return context.getImageData(0, 0, 8, 8).data;
            };
            const chosen = document.querySelector("#noise .lab-thumbs [aria-pressed=true] img");
            const drawn = values(document.querySelector("#noise [data-view=x_0]"));
            return values(chosen).every((value, i) => Math.abs(value - drawn[i]) < 40);
        }"""
    )


@pytest.mark.slow
def test_a_file_that_is_no_picture_is_refused(browser_page: Page, tab: Locator) -> None:
    upload(tab, b"not a picture")
    expect(browser_page.get_by_text("The file is no picture that can be read.")).to_be_visible()
    expect(tab.locator(".plein-air-picker .lab-root")).to_have_attribute("data-chosen", "0")


@pytest.mark.slow
def test_the_picture_that_paint_shows_is_taken_over(browser_page: Page, tab: Locator) -> None:
    tab.get_by_role("button", name="From Paint").click()
    expect(tab.locator(".plein-air-picker .lab-root")).to_have_attribute("data-chosen", "8")
    browser_page.get_by_role("tab", name="Paint", exact=True).click()
    set_number(browser_page.locator("body"), "steps", 4)
    set_number(browser_page.locator("body"), "seed", 7)
    browser_page.get_by_role("button", name="Paint", exact=True).click()
    player = browser_page.locator(".player").first
    expect(player.locator(".player-pictures button")).to_have_count(4)
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    player.get_by_role("button", name="picture 3").click()
    browser_page.get_by_role("tab", name="Noise", exact=True).click()
    tab.get_by_role("button", name="From Paint").click()
    expect(tab.get_by_role("button", name="painted, seed 9")).to_be_visible()


@pytest.mark.slow
def test_the_strip_has_as_many_moments_as_wanted_and_is_saved(tab: Locator) -> None:
    set_number(tab, "pictures", 5)
    captions = tab.locator(".plein-air-strip figcaption")
    expect(captions).to_have_text(["1000", "750", "500", "250", "0"])
    for ask, form in (("Strip", "PNG"), ("GIF", "GIF"), ("WebP", "WEBP")):
        with tab.page.expect_download() as download:
            tab.get_by_role("button", name=ask, exact=True).click()
        with Image.open(download.value.path()) as image:
            assert image.format == form
            assert getattr(image, "n_frames", 1) == (1 if form == "PNG" else 5)
        if form == "PNG":
            experiment = read_experiment(Path(download.value.path()).read_bytes())
            assert isinstance(experiment, ForwardStrip)
            assert (experiment.moments, experiment.seed, experiment.model) == (5, 42, "tiny")


@pytest.mark.slow
def test_a_strip_has_the_t_that_its_png_has(tab: Locator) -> None:
    set_number(tab, "pictures", 17)
    captions = tab.locator(".plein-air-strip figcaption")
    expect(captions).to_have_count(17)
    seen = [int(text) for text in captions.all_text_contents()]
    assert seen[::-1] == list(evenly_spaced(17, 1001))


@pytest.mark.slow
def test_a_moment_of_the_strip_moves_the_slider(tab: Locator) -> None:
    tab.locator(".plein-air-strip figure").first.click()
    expect(tab.locator(".lab-t b")).to_have_text("1000")


@pytest.mark.slow
def test_schedules_lie_side_by_side_and_their_line_follows_t(
    browser_page: Page, tab: Locator
) -> None:
    panel(tab, "Schedules")
    root = tab.locator(".plein-air-schedules .lab-root")
    expect(root).to_have_attribute("data-curves", "4", timeout=PATIENCE)
    expect(root.locator(".lab-schedule-strips > div")).to_have_count(4)
    asked = asked_of(browser_page)
    marker = root.locator(".marker").first
    go_to(tab, 900)
    expect(root).to_have_attribute("data-t", "900")
    early = float(marker.get_attribute("x1") or 0)
    go_to(tab, 100)
    expect(root).to_have_attribute("data-t", "100")
    assert float(marker.get_attribute("x1") or 0) > early + 100
    assert to_server(asked) == []
    tab.get_by_label("your own schedule").click()
    browser_page.get_by_role("option", name="linear", exact=True).click()
    expect(root).to_have_attribute("data-curves", "5")
    expect(root.get_by_text("linear 0.0002 to 0.01")).to_be_visible()


@pytest.mark.slow
def test_an_impossible_schedule_is_refused(browser_page: Page, tab: Locator) -> None:
    panel(tab, "Schedules")
    tab.get_by_label("your own schedule").click()
    browser_page.get_by_role("option", name="linear", exact=True).click()
    set_number(tab, "β at t = T", 0.0001)
    expect(browser_page.get_by_text("beta_start is larger than beta_end").first).to_be_visible()


@pytest.mark.slow
def test_chain_and_closed_form_agree(tab: Locator) -> None:
    go_to(tab, 120)
    panel(tab, "Chain or closed form")
    tab.get_by_role("button", name="Draw both").click()
    plate = tab.locator(".lab-two .lab-root")
    expect(plate).to_have_attribute("data-ready", "chain-120", timeout=PATIENCE)
    cells = plate.locator("tbody tr").all()
    chain, closed = (
        [float(c) for c in row.locator("td").all_text_contents()[2:4]] for row in cells
    )
    assert chain[1] == closed[1]
    assert chain[0] == pytest.approx(chain[1], rel=0.15)
    assert closed[0] == pytest.approx(closed[1], rel=0.15)


@pytest.mark.slow
def test_the_posterior_is_inspected_at_the_sliders_step(tab: Locator) -> None:
    go_to(tab, 600)
    panel(tab, "Posterior")
    tab.get_by_role("button", name="Inspect this step").click()
    plate = tab.locator(".lab-five .lab-root")
    expect(plate).to_have_attribute("data-ready", "posterior-600", timeout=PATIENCE)
    cells = plate.locator("tbody td").all_text_contents()
    assert float(cells[4]) == pytest.approx(float(NoiseSchedule.named().betas[599]), rel=1e-3)
    with tab.page.expect_download() as download:
        plate.get_by_role("button", name="PNG").click()
    assert read_experiment(Path(download.value.path()).read_bytes()).experiment == "inspection"


def test_denoising_starts_from_the_sliders_x_t(tab: Locator) -> None:
    go_to(tab, 200)
    panel(tab, "Denoise from here")
    set_number(tab, "variations", 2)
    player = tab.locator(".player")
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    stored = player.get_attribute("data-run") or ""
    tab.get_by_role("button", name="Denoise", exact=True).click()
    expect(player).not_to_have_attribute("data-run", stored)
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(player.locator(".player-pictures button")).to_have_count(2)
    with tab.page.expect_download() as download:
        player.locator(".player-save").click()
    experiment = read_experiment(Path(download.value.path()).read_bytes())
    assert isinstance(experiment, Denoising)
    assert (experiment.t, experiment.run.pictures, experiment.run.model) == (200, 2, "tiny")
    with tab.page.expect_download() as animation:
        player.get_by_role("button", name="GIF").click()
    assert animation.value.suggested_filename.endswith(".gif")


@pytest.mark.slow
def test_a_dropped_strip_restores_its_moments_and_noise(
    browser_page: Page, tab: Locator, tmp_path: Path
) -> None:
    strip = ForwardStrip(
        model="tiny",
        source=PictureSource.of(Image.new("RGB", (16, 16), (200, 0, 0))),
        moments=4,
        fresh=True,
        seed=42,
    )
    file = tmp_path / "strip.png"
    file.write_bytes(png_bytes(Image.new("RGB", (4, 4)), strip))
    browser_page.locator("#recipe-drop input[type=file]").set_input_files(file)
    expect(browser_page.get_by_text("The settings of this noising are restored")).to_be_visible()
    expect(tab.locator(".plein-air-strip figcaption")).to_have_count(4)
    expect(tab.get_by_label("fresh noise at every t")).to_be_checked()
    # Model and seed are what they were, and yet the stage shows the picture that came.
    browser_page.wait_for_function(
        "document.querySelector('[data-view=x_0]').getContext('2d')"
        ".getImageData(3, 3, 1, 1).data[0] > 150"
    )
    assert near(colour(browser_page, "[data-view=x_0]", 0.05), (200, 0, 0))


@pytest.mark.slow
def test_a_dropped_png_restores_its_experiment(
    browser_page: Page, tab: Locator, tmp_path: Path
) -> None:
    go_to(tab, 70)
    set_number(tab, "seed", 9)
    tab.get_by_role("button", name=EXAMPLES[1], exact=True).click()
    expect(tab.locator(".plein-air-picker .lab-root")).to_have_attribute("data-chosen", "1")
    panel(tab, "Chain or closed form")
    plate = tab.locator(".lab-two .lab-root")
    expect(plate).to_have_attribute("data-ready", "chain-70", timeout=PATIENCE)
    with tab.page.expect_download() as download:
        plate.get_by_role("button", name="PNG").click()
    file = tmp_path / "chain.png"
    download.value.save_as(file)
    saved = read_experiment(file.read_bytes())
    browser_page.reload()
    expect(browser_page.locator(".player").first).to_have_attribute("data-state", "finished")
    drop = browser_page.locator("#recipe-drop input[type=file]")
    drop.set_input_files(file)
    expect(browser_page.get_by_text("The settings of this chain are restored")).to_be_visible()
    expect(tab.locator(".lab-t b")).to_have_text("70")
    expect(tab.get_by_label("seed", exact=True)).to_have_value("9")
    panel(tab, "Chain or closed form")
    expect(plate).to_have_attribute("data-ready", "chain-70", timeout=PATIENCE)
    with tab.page.expect_download() as again:
        plate.get_by_role("button", name="PNG").click()
    assert read_experiment(Path(again.value.path()).read_bytes()) == saved


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_another_model_leaves_t_where_it_was_moved_meanwhile(
    browser_page: Page, tab: Locator
) -> None:
    go_to(tab, 1000)
    before = reading(tab, "mean")
    browser_page.get_by_label("model", exact=True).click()
    with held_back(browser_page) as held:
        browser_page.get_by_role("option", name=re.compile("^short")).click()
        waited_for(browser_page, held)
        go_to(tab, 30)
    expect(tab.locator(".plein-air-time [role=slider]")).to_have_attribute("aria-valuemax", "100")
    expect(tab.locator(".lab-t b")).to_have_text("30")
    browser_page.get_by_label("model", exact=True).click()
    browser_page.get_by_role("option", name=re.compile("^tiny")).click()
    expect(tab.locator(".plein-air-time [role=slider]")).to_have_attribute("aria-valuemax", "1000")
    expect(tab.locator(".lab-t b")).to_have_text("30")
    go_to(tab, 800)
    browser_page.get_by_label("model", exact=True).click()
    browser_page.get_by_role("option", name=re.compile("^short")).click()
    expect(tab.locator(".lab-t b")).to_have_text("100")
    assert reading(tab, "mean") != before


@pytest.mark.slow
def test_another_model_brings_its_own_size(browser_page: Page, tab: Locator) -> None:
    go_to(tab, 1000)
    before = reading(tab, "mean")
    browser_page.get_by_label("model", exact=True).click()
    browser_page.get_by_role("option", name="impressionist-64").click()
    expect(tab.locator("[data-read=mean]")).not_to_have_text(before, timeout=PATIENCE)


@pytest.mark.slow
def test_the_chosen_picture_is_enlarged(tab: Locator) -> None:
    expect(tab.get_by_text("brought to 16 px first, the model's side")).to_be_visible()
    upload(tab, wide_picture())
    expect(tab.locator(".plein-air-picker .lab-root")).to_have_attribute("data-chosen", "8")
    tab.locator(".lab-enlarge").get_by_role("button", name=ENLARGE).click()
    player = tab.locator(".player")
    expect(player.locator(".player-title")).to_have_text(re.compile("^enlarged · .*64 px"))
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(player).to_be_in_viewport()
    expect(player.get_by_role("button", name=ENLARGE)).to_be_hidden()
    with tab.page.expect_download() as download:
        player.locator(".player-save").click()
    experiment = read_experiment(Path(download.value.path()).read_bytes())
    assert isinstance(experiment, Denoising)
    assert (experiment.t, experiment.run.size, experiment.run.pictures) == (0, 64, 1)
    seen = np.asarray(decoded(experiment.source.pixels or ""))
    inside = len(seen) // 8
    assert seen[inside, inside].tolist() == [200, 0, 0]  # cropped: squashed it is blue there


@pytest.mark.slow
def test_a_denoised_picture_is_enlarged_in_its_player(tab: Locator) -> None:
    go_to(tab, 50)
    panel(tab, "Denoise from here")
    player = tab.locator(".player")
    enlarge = player.get_by_role("button", name=ENLARGE)
    expect(enlarge).to_be_enabled(timeout=PATIENCE)  # of the kept picture
    tab.get_by_role("button", name="Denoise", exact=True).click()
    expect(player.locator(".player-title")).to_have_text(re.compile("from t = 50 "))
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    enlarge.click()
    expect(player.locator(".player-title")).to_have_text(re.compile("64 px, brushwork 0"))
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    with tab.page.expect_download() as download:
        player.locator(".player-save").click()
    experiment = read_experiment(Path(download.value.path()).read_bytes())
    assert isinstance(experiment, Denoising)
    assert (experiment.t, experiment.run.size, experiment.run.pictures) == (50, 64, 4)
