"""What was painted and set stays: through a reload, a lost connection, Back, and by its address."""

import re
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.painting.recipe import Recipe, read_recipe
from tests.e2e.conftest import Serve
from tests.e2e.lab_page import PATIENCE, set_number
from tests.e2e.player_page import HUES, PlayerPage, film
from tests.e2e.test_paint import expect_state, paint, painted, saved
from tests.e2e.test_player import expect_colour, expect_frame
from tools.server import Server

pytestmark = pytest.mark.e2e

SMALL = "as painted, 16 px"

BLOCKED = """for (const name of ["indexedDB", "localStorage"]) {
    const get = () => { throw new DOMException("no", "SecurityError"); };
    Object.defineProperty(window, name, { get });
}"""

KEPT_BEFORE = """(runs) => (async () => {
    for (const [n, bytes] of runs.entries()) {
        const about = { id: `run${n}`, run: `run${n}`, began: n, state: "finished", seq: 0 };
        await pleinAir.runs.put(about, [{ i: 0, blob: new Blob([new Uint8Array(bytes)]) }]);
    }
    return (await pleinAir.runs.list()).map(({ id }) => id);
})()"""


@pytest.fixture
def page(browser_page: Page, studio: Server) -> Page:
    browser_page.goto(studio.url)
    expect_state(browser_page, "finished")
    return browser_page


def expect_run(page: Page, run: str | None) -> None:
    expect(page.locator(".player")).to_have_attribute("data-run", run or "", timeout=PATIENCE)


def shown_run(page: Page) -> str:
    return page.locator(".player").get_attribute("data-run") or ""


def expect_open(page: Page, *tabs: str) -> None:
    for name in tabs:
        tab = page.get_by_role("tab", name=name, exact=True)
        expect(tab).to_have_attribute("aria-selected", "true", timeout=PATIENCE)


def at(hash_: str) -> re.Pattern[str]:
    """The page's address with that hash, and no other part."""
    return re.compile(rf"^http://[^/]+/{re.escape(hash_)}$")


def test_a_run_and_the_form_survive_a_reload(page: Page) -> None:
    page.get_by_role("radio", name=SMALL).click()
    page.get_by_label("seed", exact=True).fill("77")
    recipe = painted(page, steps=9, pictures=3)
    run = shown_run(page)
    page.reload()
    expect_run(page, run)
    expect_state(page, "finished")
    expect(page.locator(".player")).to_have_attribute("data-frames", "10")
    expect(page.locator(".player-pictures button")).to_have_count(3)
    assert saved(page) == recipe
    expect(page.get_by_label("seed", exact=True)).to_have_value("77")
    expect(page.get_by_role("radio", name=SMALL)).to_be_checked()
    steps = page.get_by_label("steps").and_(page.locator("input[type=number]"))
    expect(steps.first).to_have_value("9")


@pytest.mark.slow
def test_a_run_survives_a_visit_elsewhere_and_back(page: Page, studio: Server) -> None:
    painted(page)
    run = shown_run(page)
    page.goto(f"{studio.url}status")
    page.go_back()
    expect_run(page, run)
    expect_state(page, "finished")


@pytest.mark.slow
def test_a_run_that_a_reload_cuts_off_is_kept_as_far_as_it_came(page: Page) -> None:
    paint(page, steps=1000, pictures=16)
    expect(page.locator(".player-moments button").nth(1)).to_be_enabled(timeout=PATIENCE)
    page.wait_for_timeout(1000)
    run = shown_run(page)
    page.reload()
    expect_run(page, run)
    expect_state(page, "stopped")
    expect(page.locator(".player-progress")).to_have_text(re.compile("^stopped at step"))
    assert int(page.locator(".player").get_attribute("data-frames") or "") > 10


@pytest.mark.slow
def test_where_storage_is_blocked_the_page_says_so_and_goes_back_all_the_same(
    visitor: BrowserContext, studio: Server
) -> None:
    page = visitor.new_page()
    page.add_init_script(BLOCKED)
    page.goto(studio.url)
    unkept = page.locator(".player-unkept")
    expect(unkept).to_be_visible(timeout=PATIENCE)
    expect(unkept).to_contain_text("This browser lets the page keep nothing")
    expect_state(page, "finished")
    example = shown_run(page)
    painted(page)
    run = shown_run(page)
    painted(page, steps=5)
    page.go_back()
    expect_run(page, run)
    page.go_back()
    expect_run(page, example)
    page.close()


@pytest.mark.slow
def test_the_oldest_runs_make_room(browser_page: Page, serve: Serve) -> None:
    browser_page.goto(serve(PlayerPage(film()).blocks))
    browser_page.wait_for_function("window.pleinAir?.runs")
    few = browser_page.evaluate(KEPT_BEFORE, [1000] * 22)
    assert few == [f"run{n}" for n in reversed(range(2, 22))]
    browser_page.evaluate(
        "(async () => { for (const { id } of await pleinAir.runs.list())"
        " await pleinAir.runs.delete(id); })()"
    )
    assert browser_page.evaluate(KEPT_BEFORE, [30_000_000] * 4) == ["run3", "run2", "run1"]


def test_tabs_and_panels_have_addresses_and_back_and_forward_follow(page: Page) -> None:
    page.get_by_role("tab", name="Mix", exact=True).click()
    expect(page).to_have_url(at("#mix"))
    # A click while Gradio builds the panels is lost.
    expect(page.locator("#mix .player").locator("visible=true")).to_be_visible()
    page.get_by_role("tab", name="The grid", exact=True).click()
    expect(page).to_have_url(at("#mix/grid"))
    page.get_by_role("tab", name="Theory", exact=True).click()
    expect(page).to_have_url(at("#theory"))
    page.go_back()
    expect_open(page, "Mix", "The grid")
    page.go_back()
    expect_open(page, "Mix", "One mixture")
    page.go_back()
    expect_open(page, "Paint")
    page.go_forward()
    page.go_forward()
    expect_open(page, "Mix", "The grid")
    expect(page).to_have_url(at("#mix/grid"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "tabs"),
    [("noise", ["Noise", "Film strip"]), ("noise/posterior", ["Noise", "Posterior"])],
)
def test_a_link_opens_at_its_tab(
    browser_page: Page, studio: Server, address: str, tabs: list[str]
) -> None:
    browser_page.goto(f"{studio.url}#{address}")
    expect_open(browser_page, *tabs)
    browser_page.wait_for_timeout(500)
    assert browser_page.url == f"{studio.url}#{address}"


def test_back_leads_from_a_branch_to_the_run_it_came_from(page: Page) -> None:
    page.get_by_role("radio", name=SMALL).click()
    painted(page, steps=10)
    whole = shown_run(page)
    expect(page.locator(".player-origin")).to_be_hidden()
    page.locator(".player-slider").press("Home")
    page.locator(".player-slider").press("ArrowRight")
    expect(page).to_have_url(at("#paint/1"))
    page.get_by_role("button", name="Branch here").click()
    expect(page.locator(".player-title")).to_have_text(re.compile("branch"), timeout=PATIENCE)
    expect_state(page, "finished")
    branch = shown_run(page)
    page.get_by_role("button", name="its origin").click()
    expect_run(page, whole)
    page.go_back()
    expect_run(page, branch)
    expect(page.locator(".player-title")).to_have_text(re.compile("branch"))
    page.go_back()
    expect_run(page, whole)
    expect_frame(page, 1)


@pytest.mark.slow
def test_a_little_different_paints_variations_of_the_picture_in_view(page: Page) -> None:
    page.get_by_role("radio", name=SMALL).click()
    first = painted(page, steps=5, pictures=2)
    whole = shown_run(page)
    page.get_by_role("button", name="picture 2").click()
    strength = page.get_by_label("how different")
    strength.press("ArrowRight")
    expect(strength).to_have_value("0.25")
    expect_frame(page, 5)
    page.get_by_role("button", name="A little different").click()
    title = page.locator(".player-title")
    expect(title).to_have_text(
        re.compile(rf"seed {first.seed + 1} with 0.25 of \d+ "), timeout=PATIENCE
    )
    expect_state(page, "finished")
    expect(page.locator(".player-pictures button")).to_have_count(4)
    recipe = saved(page)
    assert (recipe.seed, recipe.pictures, recipe.variation_strength) == (first.seed + 1, 4, 0.25)
    page.get_by_role("button", name="its origin").click()
    expect_run(page, whole)


@pytest.mark.slow
def test_a_run_that_goes_on_unseen_is_kept_to_its_end(browser_page: Page, serve: Serve) -> None:
    player = PlayerPage(film(), keeps=True)
    page = browser_page
    page.goto(serve(player.blocks))
    expect_state(page, "finished")
    page.get_by_role("button", name="Paint", exact=True).click()
    expect_state(page, "live")
    expect(page.locator(".player")).to_have_attribute("data-frames", "6")
    page.go_back()
    expect_run(page, "stored")
    player.gate.set()
    page.wait_for_function("pleinAir.runs.list().then(([run]) => run.state === 'finished')")
    page.go_forward()
    expect(page.locator(".player")).to_have_attribute("data-frames", "13")
    expect_state(page, "finished")
    expect_colour(page, "x_t", HUES[0])


@pytest.mark.slow
def test_a_stopped_run_is_saved_linked_and_painted_whole(
    page: Page, visitor: BrowserContext, studio: Server
) -> None:
    visitor.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("radio", name=SMALL).click()
    page.get_by_label("keep", exact=True).check()
    paint(page, steps=1000, pictures=2)
    expect(page.locator(".player-moments button").nth(1)).to_be_enabled(timeout=PATIENCE)
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "stopped")
    with page.expect_download() as download:
        page.locator(".player-save").click()
    assert re.search(r"-1000-steps-seed-42-.*-t-\d+\.png$", download.value.suggested_filename)
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.get_by_role("button", name="Link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = (
        page.evaluate("navigator.clipboard.readText()").partition("?recipe=")[2].partition("#")[0]
    )
    recipe = Recipe.from_link(link.replace("%3D", "="))
    assert (recipe.steps, recipe.pictures, recipe.seed) == (1000, 2, 42)
    stopped = shown_run(page)
    page.get_by_role("button", name="Paint whole").click()
    expect(page.locator(".player")).not_to_have_attribute("data-run", stopped, timeout=PATIENCE)
    expect(page.locator(".player-title")).to_have_text(re.compile("1000 steps . seed 42"))
    page.get_by_role("button", name="Stop").click()


@pytest.mark.slow
def test_a_link_to_a_moment_paints_the_run_and_stays_there(page: Page, studio: Server) -> None:
    wish = Recipe(model="tiny", sampler="ddim", steps=8, seed=77, pictures=2, picture=1)
    page.goto("about:blank")
    page.goto(f"{studio.url}?recipe={wish.to_link()}#paint/3")
    expect(page.locator(".player-title")).to_have_text(re.compile("seed 78"), timeout=PATIENCE)
    expect_state(page, "finished")
    expect_frame(page, 3)
    expect(page.get_by_role("button", name="picture 2")).to_have_attribute("aria-pressed", "true")
    assert saved(page).picture == 1
    page.reload()
    expect(page.locator(".player-title")).to_have_text(re.compile("seed 78"), timeout=PATIENCE)
    expect_frame(page, 3)
    expect(page.get_by_text("The recipe is restored")).to_be_hidden()


@pytest.mark.slow
def test_in_a_frame_the_link_is_the_pages_own_address(page: Page, studio: Server) -> None:
    outside = studio.url.replace("127.0.0.1", "localhost")
    page.goto(f"{outside}status")
    page.evaluate(
        """(src) => {
            document.body.innerHTML = `<iframe src="${src}" width=1200 height=800></iframe>`;
        }""",
        f"{studio.url}?__theme=light",
    )
    frame = page.frame_locator("iframe")
    expect(frame.locator(".player")).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    frame.get_by_role("button", name="Link").click()
    expect(frame.locator(".player-notice p")).to_contain_text(f"{studio.url}?recipe=")


@pytest.mark.slow
def test_a_model_that_is_gone_leaves_the_form_as_it_opens(page: Page) -> None:
    set_number(page, "steps", 9)
    page.wait_for_function("localStorage.getItem('plein-air:settings')?.includes('\"steps\":9')")
    page.evaluate(
        """() => {
            const kept = JSON.parse(localStorage.getItem("plein-air:settings"));
            localStorage.setItem("plein-air:settings", JSON.stringify({ ...kept, model: "gone" }));
        }"""
    )
    page.reload()
    expect(page.get_by_text("There is no model 'gone' here.")).to_be_visible(timeout=PATIENCE)
    assert painted(page).model == "tiny"


@pytest.mark.slow
def test_a_saved_png_paints_its_picture_again(page: Page, tmp_path: Path) -> None:
    page.get_by_role("radio", name=SMALL).click()
    painted(page, steps=5, pictures=3)
    page.get_by_role("button", name="picture 2").click()
    with page.expect_download() as download:
        page.locator(".player-save").click()
    path = tmp_path / "second.png"
    download.value.save_as(path)
    before = shown_run(page)
    page.locator("#recipe-drop input[type=file]").set_input_files(path)
    expect(page.locator(".player")).not_to_have_attribute("data-run", before, timeout=PATIENCE)
    expect_state(page, "finished")
    expect(page.get_by_role("button", name="picture 2")).to_have_attribute("aria-pressed", "true")
    assert saved(page) == read_recipe(path.read_bytes())


@pytest.mark.slow
def test_the_form_follows_what_is_shown(page: Page) -> None:
    seed, model = page.get_by_label("seed", exact=True), page.get_by_label("model", exact=True)
    page.get_by_role("radio", name=SMALL).click()
    page.get_by_label("keep", exact=True).check()
    painted(page, steps=5, pictures=2)
    expect(page.locator(".player-title")).to_have_text(re.compile("seed 42"))
    page.get_by_role("button", name="picture 2").click()
    expect(page.locator(".player-title")).to_have_text(re.compile("seed 43"))
    page.locator(".studio-examples button:has(img)").nth(3).click()
    shown = page.locator(".player-title").filter(has_text="256 px")
    expect(shown).to_be_visible(timeout=PATIENCE)
    example = saved(page)
    expect(seed).to_have_value(str(example.seed))
    expect(model).to_have_value(re.compile("^impressionist-64 "))
    page.go_back()
    expect(seed).to_have_value("42")
    expect(model).to_have_value(re.compile("^tiny"))


def test_all_pictures_are_saved_at_once_and_a_video_says_what_it_needs(page: Page) -> None:
    page.get_by_role("radio", name=SMALL).click()
    painted(page, steps=5)
    every = page.get_by_role("button", name="All", exact=True)
    expect(every).to_be_hidden()
    painted(page, steps=5, pictures=3)
    with page.expect_download() as download:
        every.click()
    with ZipFile(download.value.path()) as pictures:
        recipes = [read_recipe(pictures.read(name)) for name in pictures.namelist()]
    assert [recipe.picture for recipe in recipes] == [0, 1, 2]
    video = page.get_by_role("button", name="MP4")
    if find_spec("av"):
        with page.expect_download() as download:
            video.click()
        assert download.value.suggested_filename.endswith(".mp4")
    else:
        video.click()
        expect(page.locator(".player-notice")).to_contain_text("This studio makes no MP4.")


@pytest.mark.slow
def test_one_step_has_small_moments_and_is_called_a_step(page: Page) -> None:
    page.get_by_role("radio", name=SMALL).click()
    painted(page, steps=1)
    expect(page.locator(".player-title")).to_have_text(re.compile(" 1 step · "))
    moments = page.locator(".player-moments li")
    expect(moments).to_have_count(2)
    tile, stage = moments.first.bounding_box(), page.locator(".player-stage").bounding_box()
    assert tile is not None
    assert stage is not None
    assert tile["width"] < stage["width"] / 9
    expect(page.get_by_role("button", name="Link")).to_be_in_viewport()


def test_a_links_card_is_the_pages_own(studio: Server) -> None:
    metas = re.findall(r"<meta\s[^>]*>", httpx.get(studio.url, timeout=60).text)
    cards = dict(re.findall(r'(?:property|name)="([a-z]+:\w+)" content="([^"]*)"', "".join(metas)))
    assert (cards["og:title"], cards["twitter:card"]) == ("Plein Air", "summary_large_image")
    assert not any("radio" in meta for meta in metas)
    assert cards["og:image"].startswith(studio.url)
    picture = httpx.get(cards["og:image"], timeout=60)
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")
