"""The Paint tab of a served studio, in a real browser, with a network of 0.1 M weights."""

import io
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.images.encoding import png_bytes
from app.painting.recipe import Recipe, read_recipe
from app.settings import BUNDLED_MODELS
from tests.e2e.lab_page import SIZES, resize, set_number
from tests.e2e.mouse import drag
from tools.server import Server

pytestmark = pytest.mark.e2e


@pytest.fixture
def page(browser_page: Page, studio: Server) -> Page:
    """The studio's page, opened."""
    browser_page.goto(studio.url)
    expect_state(browser_page, "finished")
    return browser_page


def expect_state(page: Page, state: str) -> None:
    expect(page.locator(".player")).to_have_attribute("data-state", state, timeout=60_000)


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def paint(page: Page, *, steps: int = 8, pictures: int = 1) -> None:
    set_number(page, "steps", steps)
    set_number(page, "pictures", pictures)
    run = page.locator(".player").get_attribute("data-run")
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator(".player")).not_to_have_attribute("data-run", run or "", timeout=30_000)


def painted(page: Page, *, steps: int = 8, pictures: int = 1) -> Recipe:
    """Paint, wait for the end, and read the recipe in the PNG that Save gives."""
    paint(page, steps=steps, pictures=pictures)
    expect_state(page, "finished")
    return saved(page)


def repainted(page: Page, recipe: Recipe) -> Recipe:
    """Wait until the page has painted a link's or a PNG's recipe, and read it in its PNG."""
    title = re.compile(f" {recipe.steps} steps · seed {recipe.seed + recipe.picture} ")
    expect(page.locator(".player-title")).to_have_text(title, timeout=60_000)
    expect_state(page, "finished")
    return saved(page)


def saved(page: Page) -> Recipe:
    with page.expect_download() as download:
        page.locator(".player-save").click()
    return read_recipe(Path(download.value.path()).read_bytes())


def test_one_click_paints(page: Page) -> None:
    run = page.locator(".player").get_attribute("data-run")
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator(".player")).not_to_have_attribute("data-run", run or "")
    expect_state(page, "finished")
    expect(page.locator(".player-pictures button")).to_have_count(4)
    expect(page.locator(".player")).to_have_attribute("data-gaps", "0")


@pytest.mark.slow
def test_every_sampler_paints(page: Page) -> None:
    for kind in SAMPLER_KINDS.values():
        if kind.variance:
            continue
        choose(page, "sampler", kind.label)
        expect(page.get_by_text(kind.about)).to_be_visible()
        assert painted(page).sampler == kind.name


def test_an_example_opens_its_own_run(page: Page) -> None:
    player = page.locator(".player")
    first = player.get_attribute("data-run")
    page.locator(".studio-examples button").nth(3).click()
    expect(player).not_to_have_attribute("data-run", first or "")
    expect_state(page, "finished")
    assert saved(page).model == "impressionist-64"


@pytest.mark.slow
def test_presets_set_sampler_and_steps(page: Page) -> None:
    sampler = page.get_by_label("sampler", exact=True)
    steps = page.get_by_label("steps").and_(page.locator("input[type=number]"))
    page.get_by_role("button", name="the full 1000").click()
    expect(sampler).to_have_value("DDPM")
    expect(steps).to_have_value("1000")
    page.get_by_role("button", name="quick", exact=True).click()
    expect(sampler).to_have_value("DPM-Solver++ 2M SDE")
    expect(steps).to_have_value("25")


def seed_of(page: Page) -> Locator:
    return page.get_by_label("seed", exact=True)


@pytest.mark.slow
def test_each_painting_has_a_new_seed_unless_it_is_kept(page: Page) -> None:
    keep = page.get_by_label("keep", exact=True)
    expect(keep).not_to_be_checked()
    first = painted(page)
    expect(seed_of(page)).to_have_value(str(first.seed))
    second = painted(page)
    assert first.seed != second.seed
    keep.check()
    third = painted(page)
    assert third == second
    expect(page.locator(".player-title")).to_have_text(re.compile(f"seed {second.seed} "))


@pytest.mark.slow
def test_a_seed_that_is_set_is_kept_and_minus_one_is_a_new_one(page: Page) -> None:
    keep = page.get_by_label("keep", exact=True)
    set_number(page, "seed", 7)
    expect(keep).to_be_checked()
    assert painted(page).seed == 7
    page.locator(".studio-dice").first.click()
    expect(seed_of(page)).not_to_have_value("7")
    rolled = int(seed_of(page).input_value())
    assert painted(page).seed == rolled
    set_number(page, "seed", -1)
    expect(keep).not_to_be_checked()
    drawn = painted(page).seed
    assert drawn >= 0
    assert drawn != rolled
    expect(seed_of(page)).to_have_value(str(drawn))


def test_a_refusal_names_its_field_and_nothing_is_rounded(page: Page) -> None:
    run = page.locator(".player").get_attribute("data-run")
    set_number(page, "seed", 1.5)
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.get_by_text("seed is 1.5, but must be a whole number.")).to_be_visible()
    expect(seed_of(page)).to_have_value("1.5")
    assert page.locator(".player").get_attribute("data-run") == run


def test_stop_ends_a_run_and_the_next_one_paints(page: Page) -> None:
    paint(page, steps=1000, pictures=16)
    expect(page.locator(".player-moments button").first).to_be_enabled()
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "stopped")
    expect(page.locator(".player-progress")).to_have_text(
        re.compile(r"stopped at step \d+ of 1013")
    )
    assert painted(page).steps == 8


@pytest.mark.slow
def test_a_new_run_ends_the_one_before(page: Page, studio: Server) -> None:
    paint(page, steps=1000, pictures=16)
    expect(page.locator(".player-moments button").first).to_be_enabled()
    assert painted(page).steps == 8
    expect_idle(studio)


def cpu_seconds(server: Server) -> float:
    """The processor time that the server has used."""
    times = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def expect_idle(server: Server) -> None:
    """Wait until the server uses less than a third of a core; its queue alone takes a twentieth."""
    for _ in range(120):
        before, started = cpu_seconds(server), time.monotonic()
        time.sleep(0.5)
        if cpu_seconds(server) - before < 0.3 * (time.monotonic() - started):
            return
    pytest.fail("the server is still at work")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Stop", "closing the tab"])
def test_the_servers_work_ends_with_the_run(
    visitor: BrowserContext, studio: Server, how: str
) -> None:
    page = visitor.new_page()
    page.goto(studio.url)
    expect_state(page, "finished")
    paint(page, steps=1000, pictures=16)
    expect(page.locator(".player-moments button").first).to_be_enabled()
    if how == "Stop":
        page.get_by_role("button", name="Stop").click()
        expect_idle(studio)
    page.close()
    expect_idle(studio)


@pytest.mark.slow
def test_two_pages_that_paint_at_once_both_advance(
    page: Page, visitor: BrowserContext, studio: Server
) -> None:
    other = visitor.new_page()
    other.goto(studio.url)
    expect_state(other, "finished")
    for each in (page, other):
        paint(each, steps=1000, pictures=8)
    for each in (page, other):
        expect(each.locator(".player-moments button").nth(1)).to_be_enabled(timeout=120_000)
    for each in (page, other):
        expect(each.locator(".player")).to_have_attribute("data-state", "live")
    for each in (page, other):
        each.get_by_role("button", name="Stop").click()
        expect_state(each, "stopped")
    other.close()


def test_a_branch_paints_on_from_the_slider(page: Page) -> None:
    whole = painted(page, steps=10, pictures=2)
    page.get_by_role("button", name="picture 2").click()
    page.locator(".player-slider").press("Home")
    for _ in range(4):
        page.locator(".player-slider").press("ArrowRight")
    expect(page.locator(".player")).to_have_attribute("data-i", "4")
    page.get_by_role("button", name="Branch here").click()
    expect(page.locator(".player-title")).to_have_text(
        re.compile("DPM-Solver.. 2M SDE .* branch at t = 600")
    )
    expect_state(page, "finished")
    branch = saved(page)
    assert branch.parent == whole.small.for_picture(1)
    assert (branch.frame, branch.steps, branch.pictures) == (4, 6, 4)


def test_one_run_goes_through_both_stages(page: Page) -> None:
    large = painted(page)
    assert (large.size, large.stage_steps) == (64, 12)
    player, slider = page.locator(".player"), page.locator(".player-slider")
    expect(player).to_have_attribute("data-frames", "22")
    expect(page.locator(".player-second")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save small").click()
    png = Path(download.value.path()).read_bytes()
    assert read_recipe(png) == large.small
    with Image.open(io.BytesIO(png)) as small:
        assert small.size == (16, 16)
    slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^second stage, t 83,"))
    for _ in range(12):
        slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^t 0,"))
    page.get_by_role("button", name="Branch here").click()
    expect(page.locator(".player-title")).not_to_have_text(re.compile("brushwork 0 "))
    expect_state(page, "finished")
    other = saved(page)
    assert other.small == large.small
    assert other.stage_seed != large.stage_seed


HALVES = """() => {
    const canvas = document.querySelector("[data-view=x_0_hat] canvas");
    const [width, height] = [canvas.width >> 1, canvas.height];
    const half = (x) => canvas.getContext("2d").getImageData(x, 0, width - 20, height).data.join();
    return [half(0), half(canvas.width - width + 20)];
}"""


def assert_alike(half: str, other: str) -> None:
    """Hold that two halves show the same: where one is cut, a browser may round otherwise."""
    levels = [np.array(each.split(","), dtype=np.int64) for each in (half, other)]
    assert np.abs(levels[0] - levels[1]).max() <= 2


@pytest.mark.slow
def test_a_divider_compares_the_small_picture_with_the_large_one(page: Page) -> None:
    painted(page)
    player, slider = page.locator(".player"), page.locator(".player-slider")
    dividers = page.locator(".player-divider")
    frame = player.get_attribute("data-i")
    whole = page.evaluate(HALVES)
    page.get_by_role("button", name="compare").click()
    expect(dividers.first).to_be_visible()
    expect(dividers.first).to_have_attribute("aria-valuenow", "50")
    compared = page.evaluate(HALVES)
    assert compared[0] != whole[0]
    assert_alike(compared[1], whole[1])
    dividers.nth(1).press("End")
    assert page.evaluate(HALVES)[1] != whole[1]
    for _ in range(3):
        dividers.nth(1).press("ArrowLeft")
    expect(dividers.first).to_have_attribute("aria-valuenow", "85")
    expect(player).to_have_attribute("data-i", frame or "")
    drag(page.locator("[data-view=x_0_hat] .player-divider"), 0.5, -2.0)
    now = int(dividers.first.get_attribute("aria-valuenow") or "")
    assert 20 < now < 80
    # The first stage's moments have nothing to be compared with.
    slider.press("Home")
    expect(dividers.first).to_be_hidden()
    page.get_by_role("button", name="compare").click()
    page.get_by_role("button", name="compare").click()
    expect(player).to_have_attribute("data-i", frame or "")
    page.get_by_role("button", name="compare").click()
    for half, other in zip(page.evaluate(HALVES), whole, strict=True):
        assert_alike(half, other)


@pytest.mark.slow
def test_a_picture_is_painted_as_large_as_one_wishes(page: Page, tmp_path: Path) -> None:
    page.get_by_role("radio", name="as painted, 16 px").click()
    assert painted(page).size is None
    expect(page.locator(".player")).to_have_attribute("data-frames", "9")
    expect(page.locator(".player-second")).to_be_hidden()
    expect(page.locator(".player-save-small")).to_be_hidden()
    page.get_by_role("button", name="× 4 here").click()  # noqa: RUF001
    expect(page.locator(".player-title")).to_have_text(re.compile("64 px, brushwork 0"))
    expect_state(page, "finished")
    assert saved(page).size == 64
    enlarge = page.get_by_role("button", name="× 4 here")  # noqa: RUF001
    expect(enlarge).to_be_disabled()
    slider = page.locator(".player-slider")
    slider.press("Home")
    for _ in range(3):
        slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^t 625,"))
    enlarge.click()
    expect(page.locator(".player-title")).to_have_text(re.compile("64 px from t = 625, brush"))
    expect_state(page, "finished")
    expect(page.locator(".player")).to_have_attribute("data-frames", str(4 + 13))
    expect(page.locator(".player-save-small")).to_be_hidden()
    assert saved(page).stage_truncation == 625
    page.get_by_text("the brushwork").click()
    set_number(page, "brushwork steps", 3)
    set_number(page, "brushwork seed", 7)
    page.get_by_role("radio", name="4, 64 px").click()
    large = painted(page)
    assert (large.size, large.stage_steps, large.stage_seed) == (64, 3, 7)
    path = tmp_path / "large.png"
    with page.expect_download() as download:
        page.locator(".player-save").click()
    download.value.save_as(path)
    page.reload()
    expect_state(page, "finished")
    page.locator("#recipe-drop input[type=file]").set_input_files(path)
    assert repainted(page, large) == large


@pytest.mark.slow
def test_strip_and_animation_are_saved(page: Page) -> None:
    painted(page)
    for name, form in (("GIF", "GIF"), ("WebP", "WEBP"), ("Strip", "PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        with Image.open(download.value.path()) as image:
            assert image.format == form
            assert getattr(image, "n_frames", 1) == (1 if form == "PNG" else 22)


@pytest.mark.slow
def test_a_file_that_takes_painting_says_so_and_can_be_stopped(page: Page, studio: Server) -> None:
    page.get_by_role("button", name="GIF", exact=True).click()
    expect(page.locator(".player-progress")).to_have_text(re.compile("^painted again · step "))
    expect_state(page, "finished")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".player-progress")).to_have_text("")
    expect(page.get_by_role("button", name="GIF", exact=True)).to_be_enabled()
    expect_idle(studio)


@pytest.mark.slow
def test_a_dropped_png_restores_its_settings(page: Page, tmp_path: Path) -> None:
    choose(page, "sampler", "UniPC")
    recipe = painted(page, steps=9, pictures=3)
    with page.expect_download() as download:
        page.locator(".player-save").click()
    path = tmp_path / "painting.png"
    download.value.save_as(path)
    page.reload()
    expect_state(page, "finished")
    choose(page, "sampler", "DDIM")
    before = page.locator(".player").get_attribute("data-run")
    page.locator("#recipe-drop input[type=file]").set_input_files(path)
    expect(page.get_by_text("The recipe is restored")).to_be_visible()
    expect(page.get_by_label("sampler", exact=True)).to_have_value("UniPC")
    expect(page.locator(".player")).not_to_have_attribute("data-run", before or "", timeout=30_000)
    assert repainted(page, recipe) == recipe


@pytest.mark.slow
def test_a_png_just_painted_paints_itself_again_when_dropped(page: Page, tmp_path: Path) -> None:
    recipe = painted(page)
    path = tmp_path / "painting.png"
    with page.expect_download() as download:
        page.locator(".player-save").click()
    download.value.save_as(path)
    page.locator("#recipe-drop input[type=file]").set_input_files(path)
    expect(page.get_by_label("keep", exact=True)).to_be_checked()
    assert painted(page) == recipe


def test_a_link_restores_its_settings(page: Page, studio: Server) -> None:
    wish = Recipe(model="tiny", sampler="ddim", eta=0.35, steps=7, seed=77, pictures=2)
    page.goto(f"{studio.url}?recipe={wish.to_link()}")
    expect(page.get_by_text("The recipe is restored")).to_be_visible(timeout=30_000)
    expect(page.get_by_label("seed", exact=True)).to_have_value("77")
    assert repainted(page, wish).eta == 0.35


OF_A_CLASS = Recipe(model="classes", steps=7, seed=77, label=2, guidance_scale=3.0)


def expect_restored(page: Page, recipe: Recipe) -> None:
    """The page knows the model, and its next painting is the recipe's."""
    expect(page.get_by_text("The recipe is restored")).to_be_visible(timeout=30_000)
    expect(page.get_by_label("class", exact=True)).to_be_visible()
    again = repainted(page, recipe)
    assert (again.label, again.guidance_scale) == (recipe.label, recipe.guidance_scale)


@pytest.mark.slow
def test_a_link_restores_label_and_guidance(page: Page, studio: Server) -> None:
    page.goto(f"{studio.url}?recipe={OF_A_CLASS.to_link()}")
    expect_restored(page, OF_A_CLASS)


@pytest.mark.slow
def test_a_dropped_png_restores_label_and_guidance(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "painting.png"
    path.write_bytes(png_bytes(Image.new("RGB", (16, 16)), OF_A_CLASS))
    page.locator("#recipe-drop input[type=file]").set_input_files(path)
    expect_restored(page, OF_A_CLASS)


@pytest.mark.slow
def test_a_link_to_a_branch_paints_it_at_once(page: Page, studio: Server) -> None:
    whole = Recipe(model="tiny", steps=6, seed=5)
    branch = Recipe(
        model="tiny", sampler="ddpm", steps=4, seed=6, pictures=2, parent=whole, frame=2
    )
    page.goto(f"{studio.url}?recipe={branch.to_link()}")
    expect(page.locator(".player-title")).to_have_text(re.compile("branch"), timeout=30_000)
    expect_state(page, "finished")
    assert saved(page).parent == whole


@pytest.mark.slow
def test_a_branch_dropped_while_another_paints_is_painted(page: Page, tmp_path: Path) -> None:
    whole = Recipe(model="tiny", sampler="ddpm", steps=1000, seed=5)
    for seed in (6, 7):
        branch = whole.model_copy(
            update={"steps": 999, "seed": seed, "pictures": 16, "parent": whole, "frame": 1}
        )
        path = tmp_path / f"{seed}.png"
        path.write_bytes(png_bytes(Image.new("RGB", (16, 16)), branch))
        page.locator("#recipe-drop input[type=file]").set_input_files(path)
        expect(page.locator(".player-title")).to_have_text(re.compile(f"seed {seed} .*branch"))
        expect_state(page, "live")
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "stopped")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (png_bytes(Image.new("RGB", (8, 8))), "The picture has no recipe in it."),
        (b"GIF89a not a picture", "The file is no PNG that can be read."),
    ],
    ids=["no recipe", "no png"],
)
def test_a_useless_file_is_refused_and_changes_nothing(
    page: Page, content: bytes, says: str
) -> None:
    page.locator("#recipe-drop input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": content}
    )
    expect(page.get_by_text(says)).to_be_visible()
    expect(seed_of(page)).to_have_value("42")
    page.get_by_label("keep", exact=True).check()
    assert painted(page).seed == 42


@pytest.mark.slow
@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("nonsense!", "damaged"),
        (Recipe(model="gone").to_link(), "There is no model 'gone' here."),
        (Recipe(model="tiny", sampler="magic").to_link(), "There is no sampler 'magic'."),
    ],
    ids=["damaged", "unknown model", "unknown sampler"],
)
def test_a_useless_link_says_so_and_the_page_works(
    page: Page, studio: Server, link: str, says: str
) -> None:
    page.goto(f"{studio.url}?recipe={link}")
    expect(page.get_by_text(says)).to_be_visible(timeout=30_000)
    assert painted(page).model == "tiny"


@pytest.mark.slow
def test_a_broken_model_is_named_and_the_one_before_paints_on(page: Page, model_root: Path) -> None:
    weights = model_root / "learned" / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    # Opened first: a page that has just come asks which models there are.
    page.get_by_label("model", exact=True).click()
    option = page.get_by_role("option", name=re.compile("^learned"))
    expect(option).to_be_visible()
    weights.write_bytes(whole[:-100])
    try:
        option.click()
        expect(page.get_by_text("truncated").first).to_be_visible()
        expect(page.get_by_label("model", exact=True)).to_have_value(re.compile("^tiny"))
        expect(page.get_by_text("truncated")).to_have_count(1)
    finally:
        weights.write_bytes(whole)
    assert painted(page).model == "tiny"


@pytest.mark.slow
def test_a_model_with_classes_shows_its_labels_and_the_recipe_has_one(page: Page) -> None:
    expect(page.get_by_label("class", exact=True)).to_be_hidden()
    page.get_by_label("model", exact=True).click()
    page.get_by_role("option", name=re.compile("^classes")).click()
    expect(page.get_by_label("class", exact=True)).to_have_value("any")
    assert painted(page).label is None
    choose(page, "class", "river · 41")
    recipe = painted(page)
    assert (recipe.model, recipe.label) == ("classes", 1)
    page.get_by_label("model", exact=True).click()
    page.get_by_role("option", name=re.compile("^tiny")).click()
    expect(page.get_by_label("class", exact=True)).to_be_hidden()
    assert painted(page).label is None


@pytest.mark.slow
def test_guidance_has_an_interval_where_a_model_can_be_guided(page: Page) -> None:
    page.get_by_role("button", name="more").locator("visible=true").click()
    scale = page.get_by_label("number input for guidance", exact=True)
    first = page.get_by_label("number input for guidance from t", exact=True)
    expect(page.get_by_label("spacing", exact=True)).to_be_visible()
    expect(scale).to_be_hidden()
    expect(first).to_be_hidden()
    page.get_by_label("model", exact=True).click()
    page.get_by_role("option", name=re.compile("^classes")).click()
    expect(first).to_have_value("1000")
    choose(page, "class", "river · 41")
    set_number(page, "guidance", 3)
    set_number(page, "guidance from t", 200)
    set_number(page, "guidance to t", 900)
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.get_by_text("to a smaller one, not from 200 to 900")).to_be_visible()
    set_number(page, "guidance from t", 950)
    recipe = painted(page)
    assert (recipe.guidance_scale, recipe.guidance_from, recipe.guidance_to) == (3, 950, 900)


def test_the_bundled_model_paints_in_the_browser(page: Page) -> None:
    page.get_by_label("model", exact=True).click()
    page.get_by_role("option", name=re.compile("^impressionist-64 ")).click()
    expect(page.get_by_role("radio", name="4, 256 px")).to_be_checked()
    page.get_by_role("button", name="quick", exact=True).click()
    recipe = painted(page, steps=3, pictures=2)
    expect(page.locator(".player-nearest")).to_have_text(
        re.compile("^nearest training painting: .")
    )
    weights = (BUNDLED_MODELS / "impressionist-64" / "SHA256SUMS").read_text().split()[0]
    assert recipe.weights == weights


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_page_fits_its_width(browser_page: Page, studio: Server, size: str) -> None:
    page, width = browser_page, resize(browser_page, size)
    page.goto(studio.url)
    expect_state(page, "finished")
    assert page.evaluate("document.documentElement.scrollWidth") == width
