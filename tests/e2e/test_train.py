"""The Train tab of a served studio, in a real browser, with a network of 0.1 M weights."""

import io
import re
import time
import zipfile
from functools import partial
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser, FilePayload, Locator, Page, Route, expect

from app.images.encoding import png_bytes
from app.ui.middleware import COOKIE
from tests.e2e.lab_page import ENLARGE, PATIENCE, asked_of, open_tab, resize, set_number, to_server
from tests.training.pictures import landscapes
from tools.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def pictures(count: int = 24) -> list[FilePayload]:
    return [
        payload(f"view {i:02}.png", png_bytes(view)) for i, view in enumerate(landscapes(count, 20))
    ]


def payload(name: str, data: bytes) -> FilePayload:
    kind = "application/zip" if name.endswith(".zip") else "image/png"
    return {"name": name, "mimeType": kind, "buffer": data}


@pytest.fixture
def tab(browser_page: Page, studio: Server) -> Locator:
    """The Train tab."""
    return open_tab(browser_page, studio, "Train")


def upload(tab: Locator, files: list[FilePayload]) -> None:
    tab.locator(".train-drop input[type=file]").set_input_files(files)


def board(tab: Locator) -> Locator:
    return tab.locator(".plein-air-train .lab-root")


def expect_state(tab: Locator, state: str) -> None:
    expect(board(tab)).to_have_attribute("data-state", state, timeout=PATIENCE)


def expect_message(page: Page, words: str) -> None:
    expect(page.locator(".toast-body").filter(has_text=words)).to_be_visible()


def expect_refused(page: Page, words: str) -> None:
    """The upload is refused, and its place is free for the next."""
    expect_message(page, words)
    expect(page.locator(".train-drop .file-preview")).to_have_count(0)


def points(tab: Locator) -> int:
    return int(board(tab).get_attribute("data-points") or 0)


@pytest.mark.slow
def test_pictures_become_a_model_to_paint_with(
    browser_page: Page, tab: Locator, studio: Server
) -> None:
    expect(tab.get_by_role("heading", name="An example")).to_be_visible()
    expect(tab.locator(".train-samples")).to_have_attribute("data-samples", "8")
    expect(tab.get_by_role("button", name="Delete")).to_have_count(0)
    files = pictures()
    upload(tab, [*files, payload("twin.png", files[0]["buffer"]), payload("notes.png", b"words")])
    expect(tab.locator(".train-thumbs i")).to_have_count(24)
    left_out = tab.locator(".train-skipped li")
    expect(left_out).to_have_count(2)
    expect(left_out.nth(0)).to_have_text("twin.png it is the same as view 00.png")
    expect(left_out.nth(1)).to_contain_text("notes.png the file is no picture")

    tab.get_by_label("name", exact=True).fill("my garden")
    tab.get_by_role("button", name="more").click()
    for label, value in (("steps", 500), ("checkpoint every", 100), ("batch", 8)):
        set_number(tab, label, value)
    tab.get_by_role("button", name="Train", exact=True).click()
    expect_state(tab, "running")
    expect(board(tab)).to_have_attribute("data-points", re.compile(r"\d"), timeout=PATIENCE)
    expect(tab.locator(".train-state")).to_contain_text("pictures/s", timeout=PATIENCE)
    tab.get_by_role("button", name="Stop").click()
    expect_state(tab, "stopped")
    before = points(tab)

    tab = open_tab(browser_page, studio, "Train")
    expect(tab.get_by_role("heading", name="my garden")).to_be_visible()
    tab.get_by_role("button", name="Resume").click()
    expect_state(tab, "done")
    browser_page.wait_for_function(
        "n => Number(document.querySelector('.plein-air-train .lab-root').dataset.points) > n",
        arg=before,
    )
    expect(tab.locator(".train-state")).to_have_text("done · 500 steps")
    scrub(browser_page, tab)
    tab.get_by_role("button", name="Did it copy?").click()
    expect(tab.locator(".train-likeness li")).to_have_count(16, timeout=PATIENCE)

    enlarge_a_sample(browser_page, tab)
    tab.get_by_role("button", name="Keep", exact=True).click()
    expect(tab.locator(".train-state")).to_have_text("done · 500 steps · kept")
    expect(tab.get_by_role("button", name="Kept", exact=True)).to_be_visible()

    which = tab.locator(".train-which")
    expect(which).to_have_text("the model after 300 steps")
    with browser_page.expect_download() as download:
        tab.get_by_role("button", name="Download", exact=True).click()
    assert download.value.suggested_filename == "my-garden-step-300.zip"
    tab.get_by_role("button", name="Paint with this").click()
    model = browser_page.get_by_label("model", exact=True)
    expect(model).to_have_value(re.compile("^my garden, step 300"))
    paint(browser_page)
    browser_page.get_by_role("tab", name="Train", exact=True).click()
    tab.get_by_role("slider", name="training time").press("End")
    expect(which).to_have_text("the newest model, after 500 steps")
    tab.get_by_role("button", name="Paint with this").click()
    expect(model).to_have_value(re.compile("^my garden, step 500"))


def scrub(page: Page, tab: Locator) -> None:
    """Go through the samples; the browser has them all."""
    samples = tab.locator(".train-samples")
    expect(samples).to_have_attribute("data-samples", "5")
    expect(samples).to_have_attribute("data-step", "500")
    page.wait_for_timeout(300)
    asked = asked_of(page)
    slider = samples.get_by_role("slider", name="training time")
    last = samples.locator("canvas").screenshot()
    for key, step in (("Home", 100), ("ArrowRight", 200), ("ArrowRight", 300)):
        slider.press(key)
        expect(samples).to_have_attribute("data-step", str(step))
    assert samples.locator("canvas").screenshot() != last
    expect(slider).to_have_attribute("aria-valuetext", "after 300 steps")
    assert [url for url in to_server(asked) if "run/predict" not in url] == []


def enlarge_a_sample(page: Page, tab: Locator) -> None:
    """Mark a sample by the pointer, another by a key, and enlarge that."""
    grid = tab.locator(".train-samples canvas")
    box = grid.bounding_box()
    assert box is not None
    grid.click(position={"x": 0.9 * box["width"], "y": 0.1 * box["height"]})
    expect(grid).to_have_attribute("aria-label", "sample grid, picture 4 of 16 is marked")
    grid.press("ArrowDown")
    expect(grid).to_have_attribute("aria-label", "sample grid, picture 8 of 16 is marked")
    tab.get_by_role("button", name=ENLARGE).click()
    enlarged = tab.locator(".train-enlarged")
    expect(enlarged).to_contain_text("sample 8 after 300 steps, painted anew with 64 px")
    with page.expect_download() as download:
        enlarged.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "sample-8-step-300-64px.png"


def paint(page: Page) -> None:
    player = page.locator(".player").first
    set_number(page.locator("body"), "pictures", 1)
    set_number(page.locator("body"), "steps", 5)
    run = player.get_attribute("data-run")
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(player).not_to_have_attribute("data-run", run or "")
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)


def test_what_can_not_be_trained_on_is_named(browser_page: Page, tab: Locator) -> None:
    tab.get_by_role("button", name="Train", exact=True).click()
    expect_message(browser_page, "There are no pictures to train on.")
    upload(tab, pictures(3))
    expect_refused(browser_page, "Only 3 pictures can be used")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../<b>evil</b>.png", b"x")
    upload(tab, [payload("pictures.zip", buffer.getvalue())])
    expect_refused(browser_page, "../../<b>evil</b>.png")
    upload(tab, [payload("pictures.zip", b"no zip at all")])
    expect_refused(browser_page, "Only 0 pictures can be used")
    expect(tab.locator(".train-thumbs i")).to_have_count(0)


@pytest.mark.slow
def test_another_upload_squares_the_pictures_as_asked(tab: Locator) -> None:
    upload(tab, pictures(5))
    expect(tab.locator(".train-set-head")).to_contain_text("5 pictures, cropped")
    tab.get_by_label("squash").check()
    expect(tab.locator(".train-set-head")).to_contain_text("5 pictures, squashed")
    tab.get_by_role("button", name="Remove").click()
    expect(tab.locator(".train-set")).to_be_hidden()


def test_an_upload_beyond_a_visitors_share_is_refused_in_words(
    browser_page: Page, tab: Locator
) -> None:
    words = "These are more requests than one visitor may make. Wait 7 s, then go on."
    answer = partial(Route.fulfill, status=429, content_type="text/plain", body=words)
    browser_page.route("**/gradio_api/upload*", answer)
    upload(tab, pictures(5))
    expect_message(browser_page, words)


@pytest.mark.slow
def test_a_training_longer_than_a_visitors_may_be_is_refused(
    browser_page: Page, tab: Locator
) -> None:
    expect(tab.locator(".prose.train-place")).to_contain_text("at most 1 training at a time")
    upload(tab, pictures(5))
    expect(tab.locator(".train-set-head")).to_contain_text("5 pictures, cropped")
    tab.get_by_role("button", name="more").click()
    set_number(tab, "steps", 10_000)
    tab.get_by_role("button", name="Train", exact=True).click()
    expect_message(browser_page, "A training of 160,000 pictures of 16 px")
    expect_message(browser_page, "Keep steps times batch within 128,000")
    expect(tab.get_by_role("heading", name="An example")).to_be_visible()


@pytest.mark.slow
def test_what_a_training_can_not_do_is_said_before_and_its_model_goes_with_it(
    chromium: Browser, studio: Server, tmp_path: Path
) -> None:
    context = chromium.new_context(accept_downloads=True)
    page = context.new_page()
    page.goto(studio.url)
    [cookie] = [each for each in context.cookies() if each.get("name") == COOKIE]
    client = visitor(studio, cookie.get("value", ""), tmp_path)
    for i, view in enumerate(landscapes(12, 20, seed=2)):
        (tmp_path / f"{i}.png").write_bytes(png_bytes(view))
    files = [handle_file(tmp_path / f"{i}.png") for i in range(12)]
    found = client.predict(files, api_name="/upload_pictures")
    changes = {"steps": 6, "save_every": 3, "sample_every": 3, "sample_steps": 2}
    job = client.predict(found["id"], name="mine", changes=changes, api_name="/start_training")
    until_done(client, job["id"])
    table = Path(client.predict(job["id"], api_name="/training_curves"))
    assert [line.split(",")[0] for line in table.read_text().splitlines()] == [
        "step", "1", "2", "3", "4", "5", "6",
    ]  # fmt: skip

    tab = open_tab(page, studio, "Train")
    expect(tab.get_by_role("button", name="Did it copy?")).to_be_disabled(timeout=PATIENCE)
    expect(tab.locator(".train-why")).to_contain_text("16 to 10,000 pictures, not 12")
    with page.expect_download() as download:
        tab.get_by_role("button", name="Curves as CSV").click()
    assert download.value.suggested_filename == "mine-curves.csv"
    assert download.value.path().read_text() == table.read_text()
    expect(tab.locator(".train-room")).to_contain_text("Jobs take")
    tab.get_by_role("button", name="Paint with this").click()
    model = page.get_by_label("model", exact=True)
    expect(model).to_have_value(re.compile("^mine, step 6"))
    examples = page.locator(".studio-examples")
    expect(examples).to_contain_text("painted by impressionist-64")

    page.get_by_role("tab", name="Train", exact=True).click()
    tab.get_by_role("button", name="Delete", exact=True).click()
    tab.get_by_role("button", name="Delete for good").click()
    expect(tab.get_by_role("heading", name="An example")).to_be_visible()
    expect(model).to_have_value(re.compile("^tiny"))
    expect(tab.locator(".train-room")).to_be_empty()
    with pytest.raises(AppError, match="no model of that training any more"):
        client.predict(model=f"{job['id']}-6", steps=2, api_name="/paint")
    context.close()


def visitor(studio: Server, token: str, folder: Path) -> Client:
    cookies = {"cookies": {COOKIE: token}}
    return Client(studio.url, verbose=False, httpx_kwargs=cookies, download_files=folder)


@pytest.mark.slow
def test_a_visitor_has_nothing_of_another_one(
    chromium: Browser, studio: Server, tmp_path: Path
) -> None:
    mine, other = chromium.new_context(), chromium.new_context()
    tokens = []
    for context in (mine, other):
        context.new_page().goto(studio.url)
        [cookie] = [each for each in context.cookies() if each.get("name") == COOKIE]
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Lax")
        tokens.append(cookie.get("value", ""))
    assert tokens[0] != tokens[1]

    me, they = (visitor(studio, token, tmp_path) for token in tokens)
    files = []
    for i, view in enumerate(landscapes(6, 20, seed=1)):
        (tmp_path / f"{i}.png").write_bytes(png_bytes(view))
        files.append(handle_file(tmp_path / f"{i}.png"))
    found = me.predict(files, api_name="/upload_pictures")
    changes = {"steps": 20, "save_every": 10, "sample_every": 10, "sample_steps": 2}
    job = me.predict(found["id"], name="mine", changes=changes, api_name="/start_training")["id"]
    until_done(me, job)
    model = f"{job}-20"
    assert model in {info["id"] for info in me.predict(api_name="/models")}
    me.predict(model=model, steps=2, api_name="/paint")
    assert zipfile.is_zipfile(me.predict(job, api_name="/training_model"))
    earlier = f"{job}-10"
    assert me.predict(job, api_name="/training")["model_steps"] == [10, 20]
    me.predict(model=earlier, steps=2, api_name="/paint")
    assert zipfile.is_zipfile(me.predict(job, 10, api_name="/training_model"))
    with pytest.raises(AppError, match="no model of step"):
        me.predict(job, 15, api_name="/training_model")
    assert me.predict(job, api_name="/keep_training")["kept"]
    assert len(me.predict(job, api_name="/training_samples")) == 2
    assert len(me.predict(job, api_name="/training")["curves"]["loss"]) == 20

    assert they.predict(api_name="/trainings") == they.predict(api_name="/picture_sets") == []
    assert model not in {info["id"] for info in they.predict(api_name="/models")}
    for name, given in (
        *((f"/{verb}_training", (job,)) for verb in ("stop", "resume", "extend", "keep", "delete")),
        *((f"/training{part}", (job,)) for part in ("", "_samples", "_model")),
        ("/rename_training", (job, "theirs")),
    ):
        with pytest.raises(AppError, match="no such job"):
            they.predict(*given, api_name=name)
    for name, given in (("/start_training", found["id"]), ("/delete_pictures", found["id"])):
        with pytest.raises(AppError, match="no such set"):
            they.predict(given, api_name=name)
    for theirs in (model, earlier):
        with pytest.raises(AppError, match="no model"):
            they.predict(model=theirs, steps=2, api_name="/paint")
    with pytest.raises(AppError, match="who you are"):
        Client(studio.url, verbose=False).predict(api_name="/trainings")

    page = other.pages[0]
    page.get_by_role("tab", name="Train", exact=True).click()
    expect(page.get_by_role("heading", name="An example")).to_be_visible()
    page = mine.pages[0]
    page.get_by_role("tab", name="Train", exact=True).click()
    expect(page.get_by_role("heading", name="mine")).to_be_visible()
    delete(page)
    assert me.predict(api_name="/trainings") == []
    mine.close()
    other.close()


def until_done(client: Client, job: str) -> None:
    deadline = time.monotonic() + 180
    while (state := client.predict(job, api_name="/training")["state"]) != "done":
        assert state in {"queued", "running"}
        assert time.monotonic() < deadline
        time.sleep(0.3)


def delete(page: Page) -> None:
    """Delete the job that is shown, after a change of mind."""
    tab = page.locator("#train")
    tab.get_by_role("button", name="Delete", exact=True).click()
    expect(tab.locator(".train-ask")).to_contain_text("Delete “mine”, which is kept,")
    tab.get_by_role("button", name="Cancel").click()
    expect(tab.locator(".train-ask")).to_be_hidden()
    tab.get_by_role("button", name="Delete", exact=True).click()
    tab.get_by_role("button", name="Delete for good").click()
    expect(tab.get_by_role("heading", name="An example")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_the_tab_does_not_scroll_sideways(browser_page: Page, studio: Server, size: str) -> None:
    page, width = browser_page, resize(browser_page, size)
    tab = open_tab(page, studio, "Train")
    upload(tab, pictures(5))
    expect(tab.locator(".train-thumbs i")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_plots_tell_their_values_and_have_letters_of_one_size(
    browser_page: Page, tab: Locator
) -> None:
    plots = tab.locator(".train-plots svg[data-plot]")
    expect(plots).to_have_count(3)
    for width in (1440, 1024, 390):
        browser_page.set_viewport_size({"width": width, "height": 900})
        browser_page.wait_for_timeout(400)
        heights = tab.locator(".train-plots .lab-plot text.name").evaluate_all(
            "texts => texts.map(text => text.getBoundingClientRect().height)"
        )
        assert max(heights) - min(heights) < 0.5, (width, heights)
    values = browser_page.locator(".plot-values")
    plots.first.hover()
    expect(values).to_contain_text("steps")
    expect(values.locator("li")).to_have_count(2)
    expect(values.locator("li").last).to_contain_text(re.compile(r"smoothed 0\.0\d"))
    browser_page.get_by_role("tab", name="Theory", exact=True).hover()
    expect(values).to_be_hidden()
