import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from app.images.encoding import png_bytes
from app.painting.recipe import Recipe
from tests.e2e.conftest import Serve
from tests.e2e.lab_page import resize, set_number
from tests.e2e.mouse import drag
from tests.e2e.player_page import GREY, HUES, PlayerPage, film, png, tile
from tools.server import running_server

pytestmark = pytest.mark.e2e

PARTS = (
    ".player-bar",
    ".player-stage",
    ".player-view:nth-child(3) canvas",
    ".player-slider",
    ".player-readout",
    ".player-moments",
    ".player-moments li:nth-child(7)",
    ".player-pictures",
    ".player-actions",
)

Open = Callable[[PlayerPage], Page]


@pytest.fixture
def open_page(browser_page: Page, serve: Serve) -> Open:
    def opened(player: PlayerPage) -> Page:
        browser_page.goto(serve(player.blocks))
        expect(browser_page.locator(".player")).to_be_visible(timeout=30_000)
        return browser_page

    return opened


def paint(page: Page, *, steps: int = 12, pictures: int = 1, rate: int = 1000) -> None:
    for label, value in (("steps", steps), ("pictures", pictures), ("rate", rate)):
        page.get_by_role("spinbutton", name=label).fill(str(value))
    page.get_by_role("button", name="Paint", exact=True).click()


def expect_state(page: Page, state: str, frames: int | None = None) -> None:
    player = page.locator(".player")
    expect(player).to_have_attribute("data-state", state, timeout=120_000)
    if frames is not None:
        expect(player).to_have_attribute("data-frames", str(frames), timeout=120_000)


def expect_frame(page: Page, i: int) -> None:
    expect(page.locator(".player")).to_have_attribute("data-i", str(i))
    expect(page.locator(".player-slider")).to_have_attribute("aria-valuenow", str(i))


def colour(page: Page, view: str, x: float = 0.5, y: float = 0.5) -> tuple[int, ...]:
    rgb = page.evaluate(
        """([view, x, y]) => {
            const canvas = document.querySelector(`[data-view=${view}] canvas`);
            const at = [x * canvas.width, y * canvas.height].map(Math.floor);
            return [...canvas.getContext("2d").getImageData(...at, 1, 1).data].slice(0, 3);
        }""",
        [view, x, y],
    )
    return tuple(rgb)


def near(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return max(abs(p - q) for p, q in zip(a, b, strict=True)) <= 6


def expect_colour(page: Page, view: str, hue: tuple[int, ...]) -> None:
    """The middle of a view's canvas has that colour, as soon as it is drawn."""
    for _ in range(100):
        if near(colour(page, view), hue):
            return
        page.wait_for_timeout(50)
    assert near(colour(page, view), hue)


def boxes(page: Page) -> list[Any]:
    return [page.locator(part).first.bounding_box() for part in PARTS]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.slow
def test_every_frame_of_a_throttled_stream_arrives_and_is_painted(open_page: Open) -> None:
    player = PlayerPage()
    player.gate.set()
    page = open_page(player)
    page.evaluate(
        "window.painted = new Set();"
        "document.addEventListener('plein-air:moment', (e) => window.painted.add(e.detail.i))"
    )
    paint(page, steps=249, rate=50)
    expect_state(page, "finished", 250)
    expect(page.locator(".player")).to_have_attribute("data-gaps", "0")
    assert page.evaluate("window.painted.size") == 250


@pytest.mark.slow
def test_a_burst_of_messages_loses_none(open_page: Open) -> None:
    player = PlayerPage()
    player.gate.set()
    page = open_page(player)
    paint(page, steps=200, rate=100_000)
    expect_state(page, "finished", 201)
    expect(page.locator(".player")).to_have_attribute("data-gaps", "0")


def test_frames_that_come_while_another_tab_is_open_are_kept(open_page: Open) -> None:
    player = PlayerPage()
    page = open_page(player)
    paint(page, steps=40)
    expect_state(page, "live", 6)
    page.get_by_role("tab", name="Elsewhere").click()
    expect(page.get_by_text("Something else.")).to_be_visible()
    player.gate.set()
    expect_state(page, "finished", 41)
    page.get_by_role("tab", name="Paint").click()
    expect(page.locator(".player-stage")).to_be_visible()
    expect(page.locator(".player")).to_have_attribute("data-gaps", "0")
    page.wait_for_function("document.querySelector('[data-view=x_t] canvas').width > 100")
    expect_colour(page, "x_t", HUES[0])


@pytest.mark.slow
def test_a_run_whose_server_dies_ends_and_its_frames_stay(
    browser_page: Page, model_root: Path, tmp_path: Path
) -> None:
    environment = {
        "PLEIN_AIR_MODELS": str(model_root),
        "PLEIN_AIR_MODEL": "tiny",
        "PLEIN_AIR_DATA": str(tmp_path),
    }
    with running_server(environment) as server:
        browser_page.goto(server.url)
        expect_state(browser_page, "finished")
        set_number(browser_page, "steps", 1000)
        browser_page.get_by_role("button", name="Paint", exact=True).click()
        expect_state(browser_page, "live")
        expect(browser_page.locator(".player-moments button").nth(1)).to_be_enabled()
        os.kill(server.pid, signal.SIGKILL)
        expect_state(browser_page, "failed")
    expect(browser_page.locator(".player-notice")).to_contain_text("connection to the studio")
    expect(browser_page.locator(".player-progress")).to_have_text(re.compile("^stopped at step"))
    press(browser_page, "Home")
    expect_frame(browser_page, 0)


@pytest.mark.slow
def test_a_run_that_is_long_silent_goes_on(open_page: Open) -> None:
    player = PlayerPage()
    page = open_page(player)
    with page.expect_response(re.compile("/app_id$")) as asked:
        paint(page)
    assert asked.value.ok
    expect_state(page, "live", 6)
    player.gate.set()
    expect_state(page, "finished", 13)


def test_nothing_moves_while_frames_stream(open_page: Open) -> None:
    player = PlayerPage()
    page = open_page(player)
    paint(page, steps=120, pictures=4)
    expect_state(page, "live", 6)
    before = boxes(page)
    player.gate.set()
    expect(page.locator(".player-moments button").nth(5)).to_be_enabled()
    assert boxes(page) == before
    expect_state(page, "finished", 121)
    assert boxes(page) == before


def test_each_view_shows_its_own_tile_of_the_chosen_picture(open_page: Open) -> None:
    player = PlayerPage()
    player.gate.set()
    page = open_page(player)
    paint(page, pictures=4)
    expect_state(page, "finished", 13)
    page.get_by_role("button", name="picture 3").click()
    press(page, "Home")
    expect_frame(page, 0)
    for x, y in ((0.5, 0.5), (0.01, 0.01), (0.99, 0.99)):
        assert near(colour(page, "x_t", x, y), GREY)
        assert near(colour(page, "x_0_hat", x, y), HUES[2])
        assert near(colour(page, "eps_hat", x, y), (0, 0, 0))
    press(page, "End")
    expect_frame(page, 12)
    expect_colour(page, "x_t", HUES[2])
    expect(page.get_by_text("no noise is left to predict")).to_be_visible()


def test_all_pictures_fit_in_one_view_and_a_click_chooses_one(open_page: Open) -> None:
    player = PlayerPage()
    player.gate.set()
    page = open_page(player)
    paint(page, pictures=4)
    expect_state(page, "finished", 13)
    page.get_by_role("button", name="all", exact=True).click()
    corners = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    assert all(
        near(colour(page, "x_0_hat", x, y), hue) for (x, y), hue in zip(corners, HUES, strict=True)
    )
    canvas = page.locator("[data-view=x_0_hat] canvas")
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] * 0.75, "y": box["height"] * 0.25})
    expect(page.get_by_role("button", name="picture 2")).to_have_attribute("aria-pressed", "true")
    expect_colour(page, "x_0_hat", HUES[1])


def test_scrubbing_asks_the_server_nothing(open_page: Open) -> None:
    page = open_page(PlayerPage(film(60)))
    expect_state(page, "finished", 61)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    press(page, "Home", "ArrowRight", "Shift+ArrowRight")
    expect_frame(page, 11)
    drag(page.locator(".player-track"), *(n / 19 for n in range(20)))
    expect_frame(page, 60)
    page.locator(".player-moments button").nth(3).click()
    expect_frame(page, 20)
    page.get_by_role("button", name="pixels").click()
    page.get_by_role("button", name="only the painting it expects").click()
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == []


def test_keys_move_through_the_run(open_page: Open) -> None:
    page = open_page(PlayerPage(film(60)))
    expect_state(page, "finished", 61)
    expect_frame(page, 60)
    page.locator(".player-slider").focus()
    press(page, "ArrowLeft")
    expect_frame(page, 59)
    press(page, "Shift+ArrowLeft")
    expect_frame(page, 49)
    press(page, "Home")
    expect_frame(page, 0)
    press(page, "ArrowLeft")
    expect_frame(page, 0)
    press(page, "Shift+ArrowRight", "ArrowRight")
    expect_frame(page, 11)
    press(page, "Space")
    expect(page.get_by_role("button", name="pause")).to_be_visible()
    expect(page.get_by_role("button", name="play")).to_be_visible(timeout=20_000)
    expect_frame(page, 60)


def test_the_slider_says_where_it_is(open_page: Open) -> None:
    page = open_page(PlayerPage(film(20)))
    expect_state(page, "finished", 21)
    slider = page.get_by_role("slider", name="moment, from noise to painting")
    expect(slider).to_have_attribute("aria-valuetext", "t 0, signal 100 percent")
    press(page, "Home", "ArrowRight", "ArrowRight", "ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "t 850, signal 15 percent")
    expect(slider).to_have_attribute("aria-valuemin", "0")
    expect(slider).to_have_attribute("aria-valuemax", "20")
    expect(page.locator("[data-read=t]")).to_have_text("850")
    expect(page.locator("[data-read=snr]")).to_have_text("\N{MINUS SIGN}31.0")
    box = slider.bounding_box()
    assert box is not None
    assert box["height"] >= 44


def test_a_stored_run_opens_at_its_painting_and_does_not_play_by_itself(open_page: Open) -> None:
    page = open_page(PlayerPage(film()))
    expect_state(page, "finished", 13)
    expect_frame(page, 12)
    expect(page.get_by_role("button", name="play")).to_be_visible()
    expect_colour(page, "x_t", HUES[0])


def test_a_grabbed_slider_stays_until_asked_to_follow(open_page: Open) -> None:
    player = PlayerPage()
    page = open_page(player)
    paint(page, steps=30)
    expect_state(page, "live", 6)
    expect_frame(page, 5)
    follow = page.get_by_role("button", name="Follow")
    expect(follow).to_be_hidden()
    press(page, "ArrowLeft", "ArrowLeft")
    expect_frame(page, 3)
    expect(follow).to_be_visible()
    player.gate_at = 20
    player.gate.set()
    expect_state(page, "finished", 31)
    expect_frame(page, 3)
    player.gate.clear()
    paint(page, steps=31)
    expect_state(page, "live", 20)
    press(page, "Home")
    follow.click()
    expect_frame(page, 19)
    player.gate.set()
    expect_state(page, "finished", 32)
    expect_frame(page, 31)


def test_progress_is_said_in_words(open_page: Open) -> None:
    player = PlayerPage()
    page = open_page(player)
    paint(page, steps=10)
    words = "step 5 of 10 \N{MIDDLE DOT} t = 500 \N{MIDDLE DOT} 4 s left"
    expect(page.locator(".player-progress")).to_have_text(words)
    expect(page.get_by_role("status").filter(has_text="step")).to_have_attribute(
        "aria-live", "polite"
    )
    player.gate.set()
    expect_state(page, "finished", 11)


def test_a_new_run_replaces_the_old_one(open_page: Open) -> None:
    player = PlayerPage(film(20))
    page = open_page(player)
    expect_state(page, "finished", 21)
    expect(page.get_by_role("heading", name="hue 0")).to_be_visible()
    paint(page, steps=30, pictures=4)
    expect_state(page, "live", 6)
    expect_frame(page, 5)
    expect(page.locator(".player-pictures button")).to_have_count(4)
    expect(page.locator(".player-moments button:enabled")).to_have_count(2)
    expect(page.locator(".player-save")).to_have_attribute("aria-disabled", "true")
    player.gate.set()
    expect_state(page, "finished", 31)


def test_a_kept_run_is_shown_until_a_person_has_begun_one(open_page: Open) -> None:
    player = PlayerPage()
    page = open_page(player)
    look = page.get_by_role("button", name="Look")
    look.click()
    expect_state(page, "finished", 13)
    paint(page, steps=30)
    expect_state(page, "live", 6)
    look.click()
    player.gate.set()
    expect_state(page, "finished", 31)


def test_a_failure_says_what_to_do_and_keeps_the_frames(open_page: Open) -> None:
    page = open_page(PlayerPage())
    page.get_by_role("button", name="Fail").click()
    expect(page.get_by_role("alert").filter(has_text="The model's file is gone.")).to_contain_text(
        "Choose another model."
    )
    expect_state(page, "failed", 1)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    page.get_by_role("button", name="close this message").click()
    expect(page.get_by_text("The model's file is gone.")).to_be_hidden()


def test_stop_reaches_the_run_and_keeps_its_frames(open_page: Open) -> None:
    player = PlayerPage()
    player.gate.set()
    page = open_page(player)
    paint(page, steps=1000, rate=20)
    expect(page.locator(".player-moments button").first).to_be_enabled()
    page.get_by_role("button", name="Stop").click()
    assert player.stopped.wait(10)
    expect_state(page, "stopped")
    expect(page.locator(".player-progress")).to_have_text(re.compile(r"^stopped at step \d+ of"))
    press(page, "Home")
    expect_frame(page, 0)


def test_frames_that_come_after_stop_move_nobody_who_went_elsewhere(open_page: Open) -> None:
    player = PlayerPage(cancels=False)
    page = open_page(player)
    paint(page)
    expect_state(page, "live", 6)
    page.get_by_role("button", name="Stop").click()
    page.locator(".player-slider").press("Home")
    expect_frame(page, 0)
    player.gate.set()
    expect_state(page, "finished", 13)
    expect_frame(page, 0)


def test_save_gives_the_very_png_of_the_chosen_picture(open_page: Open) -> None:
    player = PlayerPage()
    player.gate.set()
    page = open_page(player)
    paint(page, pictures=4)
    expect_state(page, "finished", 13)
    page.get_by_role("button", name="picture 2").click()
    with page.expect_download() as saved:
        page.locator(".player-save").click()
    assert saved.value.suggested_filename == "hue-1.png"
    assert Path(saved.value.path()).read_bytes() == png(1)


@pytest.mark.parametrize("form", ["gif", "webp"])
def test_an_animation_is_asked_for_and_saved(open_page: Open, form: Literal["gif", "webp"]) -> None:
    player = PlayerPage(film())
    page = open_page(player)
    expect_state(page, "finished", 13)
    for _ in range(2):
        with page.expect_download() as saved:
            page.locator(f"[data-format={form}]").click()
        assert saved.value.suggested_filename == f"run.{form}"
    assert [(asked.action, asked.format) for asked in player.asked] == [("animate", form)] * 2


def test_a_file_is_asked_for_of_the_view_that_is_shown(open_page: Open) -> None:
    player = PlayerPage(film())
    page = open_page(player)
    expect_state(page, "finished", 13)
    for look in ("three views", "only the painting it expects"):
        page.get_by_role("button", name=look).click()
        with page.expect_download():
            page.get_by_role("button", name="Strip").click()
    assert [asked.view for asked in player.asked] == ["x_t", "x_0_hat"]


def test_branch_tells_the_run_the_picture_and_the_frame(open_page: Open) -> None:
    player = PlayerPage()
    player.gate.set()
    page = open_page(player)
    paint(page, pictures=3)
    expect_state(page, "finished", 13)
    branch = page.get_by_role("button", name="Branch here")
    expect(branch).to_be_disabled()
    page.get_by_role("button", name="picture 3").click()
    press(page, "Home", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    expect_frame(page, 4)
    with page.expect_download():
        branch.click()
    run = page.locator(".player").get_attribute("data-run")
    assert [(e.action, e.run, e.picture, e.frame) for e in player.asked] == [("branch", run, 2, 4)]


def test_the_night_switch_is_remembered(open_page: Open) -> None:
    page = open_page(PlayerPage(film()))
    switch = page.get_by_role("button", name="night colours")
    expect(switch).to_have_attribute("aria-pressed", "false")
    switch.click()
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    page.reload()
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    expect(switch).to_have_attribute("aria-pressed", "true")
    expect(page.locator("body")).to_have_css("background-color", "rgb(22, 32, 42)")
    switch.click()
    expect(page.locator("body")).not_to_have_class(re.compile(r"\bdark\b"))


def test_no_other_host_is_asked(browser_page: Page, serve: Serve) -> None:
    asked: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    url = serve(PlayerPage(film()).blocks)
    browser_page.goto(url)
    expect_state(browser_page, "finished", 13)
    browser_page.wait_for_load_state("networkidle")
    assert [u for u in asked if not u.startswith((url, "data:", "blob:"))] == []


def test_a_png_dropped_anywhere_reaches_the_recipe_input(open_page: Open) -> None:
    player, saved = PlayerPage(film()), png_bytes(tile(HUES[0]), Recipe(model="tiny"))
    page = open_page(player)
    expect_state(page, "finished", 13)
    files = page.evaluate_handle(
        """(bytes) => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
            return files;
        }""",
        list(saved),
    )
    for ready in ("#recipe-drop input[type=file]", ".studio-veil"):
        expect(page.locator(ready)).to_be_attached()
    stage = page.locator(".player-stage")
    stage.dispatch_event("dragenter", {"dataTransfer": files})
    veil = page.get_by_text("Drop a saved picture to restore its recipe")
    expect(veil).to_be_visible()
    with page.expect_response(lambda response: "/upload" in response.url):
        stage.dispatch_event("drop", {"dataTransfer": files})
    expect(veil).to_be_hidden()
    assert player.dropped.get(timeout=30) == saved
    page.wait_for_load_state("networkidle")
    assert player.dropped.empty()


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_the_page_never_scrolls_sideways(browser_page: Page, serve: Serve, size: str) -> None:
    page, width = browser_page, resize(browser_page, size)
    page.goto(serve(PlayerPage(film()).blocks))
    expect_state(page, "finished", 13)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    slider = page.locator(".player-slider").bounding_box()
    assert slider is not None
    assert slider["x"] >= 0
    assert slider["x"] + slider["width"] <= width
