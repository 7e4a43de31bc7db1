"""The page without a server in a real browser, where WASM paints."""

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from app.diffusion.reverse import SPACINGS, spaced_timesteps
from app.diffusion.seeds import derived_seed
from app.images.arrays import Pixels
from app.images.encoding import png_bytes
from app.laboratory.experiments import Denoising, Mixing
from app.laboratory.mix import MixLab
from app.laboratory.noise import NoiseLab
from app.painting.painter import Painter
from app.painting.recipe import Recipe, read_recipe
from app.painting.sources import PictureSource
from tests.static.conftest import Serving, Shell

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.slow]

LEVELS = 2
"""How far a picture painted in the browser may be from one painted here, of 255."""

FAKE_GPU = """Object.defineProperty(Navigator.prototype, "gpu",
    { get: () => ({ requestAdapter: async () => ({}) }) });"""


def pixels_of(png: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def apart(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


class StaticPage:
    """The page's Paint tab."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.status = page.locator("#paint .static-status")
        self.player = page.locator("#paint .player")
        self.notice = self.player.locator(".player-notice p")

    def open(self, url: str) -> None:
        self.page.goto(url)

    def ready(self) -> None:
        expect(self.status).to_contain_text("ready", timeout=120_000)

    def finished(self, player: Locator | None = None) -> list[bytes]:
        """Wait for the end of a run, and return its PNGs."""
        player = player or self.player
        expect(player).to_have_attribute("data-state", "finished", timeout=120_000)
        save, found = player.locator(".player-save"), []
        for button in player.locator(".player-pictures button").all():
            if button.is_visible():
                button.click()
            href = save.get_attribute("href") or ""
            found.append(base64.b64decode(href.partition(",")[2]))
        return found

    def paint(self, recipe: Recipe, url: str) -> list[bytes]:
        """Follow a recipe's link."""
        self.open(f"{url}?recipe={recipe.to_link()}")
        expect(self.page).to_have_title("Plein Air")
        expect(self.player).to_have_attribute("data-run", re.compile("."), timeout=120_000)
        return self.finished()

    def drop(self, name: str, data: bytes) -> None:
        file: FilePayload = {"name": name, "mimeType": "image/png", "buffer": data}
        self.page.locator("#recipe-drop input").set_input_files(file)


@pytest.fixture
def studio(browser_page: Page) -> StaticPage:
    return StaticPage(browser_page)


def recipe(**changes: object) -> Recipe:
    return Recipe.checked({"model": "tiny", "steps": 10, "seed": 7} | changes)


def test_random_numbers_are_torchs(site: Path, serving: Serving, browser_page: Page) -> None:
    browser_page.goto(serving(site))
    drawn = browser_page.evaluate(
        """async (seeds) => {
            const { Generator, SeededNoise, derivedSeed } = await import("./diffusion.js");
            return seeds.map((seed) => {
                const generator = new Generator(seed);
                const noise = new SeededNoise([seed]);
                return [
                    Array.from({ length: 2000 }, () => generator.uniform()),
                    [...noise.draw(12293), ...noise.draw(768)],
                    [derivedSeed(seed, 0), derivedSeed(seed, 2, 3, 4)],
                ];
            });
        }""",
        seeds := [0, 42, 2**32 - 1, 2**32 + 15],
    )
    for seed, (uniform, normal, derived) in zip(seeds, drawn, strict=True):
        generator = torch.Generator().manual_seed(seed)
        assert uniform == torch.rand(2000, generator=generator).tolist()
        generator = torch.Generator().manual_seed(seed)
        right = [torch.randn(count, generator=generator) for count in (12293, 768)]
        torch.testing.assert_close(torch.tensor(normal), torch.cat(right), rtol=0, atol=3e-6)
        whole = [derived_seed(seed, 0), derived_seed(seed, 2, 3, 4)]
        assert derived == [value % 2**32 for value in whole]


@pytest.mark.slow
def test_timesteps_are_the_studios(site: Path, serving: Serving, browser_page: Page) -> None:
    browser_page.goto(serving(site))
    asked = [(n, T, spacing) for spacing in SPACINGS for n, T in ((1, 1000), (16, 999), (50, 1000))]
    found = browser_page.evaluate(
        """async (asked) => {
            const { spacedTimesteps } = await import("./diffusion.js");
            return asked.map((each) => spacedTimesteps(...each));
        }""",
        asked,
    )
    assert found == [spaced_timesteps(n, T, spacing).tolist() for n, T, spacing in asked]


RUNS = [
    recipe(sampler="ddpm"),
    recipe(sampler="ddim", spacing="even"),
    recipe(sampler="ddim", eta=0.6, clip=False, spacing="linspace"),
    recipe(sampler="dpm-solver-sde", steps=25),
    recipe(sampler="dpm-solver-sde", pictures=4, seed=2**32 - 2),
    recipe(sampler="ddpm", size=64, stage_steps=4, stage_seed=3, stage_noise=20, pictures=2),
]


@pytest.mark.parametrize("asked", RUNS, ids=lambda it: f"{it.sampler}-{it.pictures}-{it.size}")
def test_a_recipe_gives_the_same_pictures_as_here(
    asked: Recipe, site: Path, serving: Serving, studio: StaticPage, painter: Painter
) -> None:
    right = painter.films.pictures(painter.complete(asked))
    pngs = studio.paint(asked, serving(site))
    assert len(pngs) == asked.pictures
    for png, result in zip(pngs, right, strict=True):
        assert apart(pixels_of(png), result.pixels) <= LEVELS
        inside = read_recipe(png)
        assert inside.model_copy(update={"versions": result.request.versions}) == result.request
    frames = studio.player.get_attribute("data-frames")
    assert int(frames or 0) == len(right[0].film)


def test_a_png_goes_there_and_back(
    site: Path, serving: Serving, studio: StaticPage, shell: Shell, tmp_path: Path
) -> None:
    """From the shell to the page, and what the page saves to the shell."""
    here, there = tmp_path / "here", tmp_path / "there"
    how = ("--model", "tiny", "--precision", "exact", "--sampler", "ddpm", "--steps", 12)
    assert shell("paint", "--out", here, *how) == 0
    (png,) = (path.read_bytes() for path in here.glob("*.png"))
    studio.open(serving(site))
    studio.ready()
    studio.drop("painting.png", png)
    expect(studio.player.locator(".player-title")).to_contain_text("DDPM · 12 steps")
    (painted,) = studio.finished()
    assert apart(pixels_of(painted), pixels_of(png)) <= LEVELS
    (tmp_path / "painted.png").write_bytes(painted)
    assert shell("paint", "--out", there, "--recipe", tmp_path / "painted.png") == 0
    (again,) = (path.read_bytes() for path in there.glob("*.png"))
    assert apart(pixels_of(again), pixels_of(painted)) <= LEVELS


def test_paint_by_a_click_scrub_and_save_a_strip(
    site: Path, serving: Serving, studio: StaticPage
) -> None:
    studio.open(serving(site))
    expect(studio.player).to_have_attribute("data-state", "finished")  # an example
    studio.page.locator("#paint [name=sampler]").select_option("ddim")
    studio.page.get_by_role("button", name="Paint", exact=True).click()
    expect(studio.player.locator(".player-title")).to_contain_text("DDIM")
    studio.finished()
    studio.player.locator(".player-slider").press("Home")
    expect(studio.player.locator("[data-read=t]")).to_have_text("1000")
    with studio.page.expect_download() as saved:
        studio.player.get_by_role("button", name="Strip").click()
    strip = saved.value.path().read_bytes()
    assert read_recipe(strip).sampler == "ddim"
    assert pixels_of(strip).shape[1] > 10 * 128
    studio.page.reload()
    expect(studio.player.locator(".player-title")).to_contain_text("DDIM")  # kept by the browser


@pytest.mark.slow
def test_a_click_during_a_run_begins_another(
    site: Path, serving: Serving, studio: StaticPage
) -> None:
    studio.open(serving(site))
    studio.ready()
    steps = studio.page.locator("#paint [name=steps]")
    paint = studio.page.get_by_role("button", name="Paint", exact=True)
    for count in (900, 800, 7):
        steps.evaluate("(control, value) => { control.value = value; }", str(count))
        paint.click()
    expect(studio.player.locator(".player-title")).to_contain_text("7 steps")
    studio.finished()
    assert studio.player.get_attribute("data-frames") == "8"
    expect(studio.player.locator(".player-notice")).to_be_hidden()


@pytest.mark.slow
def test_stop_keeps_what_is_there(site: Path, serving: Serving, studio: StaticPage) -> None:
    studio.open(f"{serving(site)}?recipe={recipe(sampler='ddpm', steps=1000).to_link()}")
    expect(studio.player.locator(".player-moments button:enabled").nth(1)).to_be_visible(
        timeout=120_000
    )
    studio.player.locator(".player-stop").click()
    expect(studio.player).to_have_attribute("data-state", "stopped")
    before = int(studio.player.get_attribute("data-frames") or 0)
    studio.page.wait_for_timeout(500)
    after = int(studio.player.get_attribute("data-frames") or 0)
    assert 0 < before <= after < before + 20 < 250


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": "another"}),
    ("weights", {"weights": "0" * 64}),
    ("sampler", {"sampler": "unipc"}),
    ("label", {"label": "garden"}),
    ("size", {"size": 32}),
    ("stage_truncation", {"size": 64, "stage_truncation": 90}),
    ("variation_seed", {"variation_seed": 7, "variation_strength": 0.5}),
    ("parent", {"steps": 6, "frame": 4, "parent": {"model": "tiny", "steps": 10}}),
]


def test_what_it_cannot_paint_is_refused_with_the_field(
    site: Path, serving: Serving, studio: StaticPage
) -> None:
    studio.open(serving(site))
    expect(studio.player).to_have_attribute("data-state", "finished")
    for field, changes in REFUSED:
        studio.drop("other.png", png_bytes(np.zeros((16, 16, 3), np.uint8), recipe(**changes)))
        expect(studio.notice).to_contain_text(f"because of its {field}:")
        expect(studio.player).to_have_attribute("data-state", "finished")


BROKEN: list[tuple[bytes, str]] = [
    (b"no picture", "is no PNG that can be read"),
    (png_bytes(np.zeros((16, 16, 3), np.uint8)), "has no recipe in it"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("data", "words"), BROKEN)
def test_a_file_without_a_recipe_gets_a_sentence(
    data: bytes, words: str, site: Path, serving: Serving, studio: StaticPage
) -> None:
    studio.open(serving(site))
    expect(studio.player).to_have_attribute("data-state", "finished")
    studio.drop("file.png", data)
    expect(studio.notice).to_contain_text(words)


@pytest.mark.slow
def test_a_backend_that_computes_wrongly_is_left_for_the_next(
    copied: Path, serving: Serving, studio: StaticPage
) -> None:
    (copied / "runtime" / "ort.webgpu.min.mjs").write_text(
        """import * as ort from "./ort.wasm.min.mjs";
        export const { env, Tensor } = ort;
        const run = async ({ x }) => ({ out: { data: x.data.map((value) => value * 1.01) } });
        export const InferenceSession = { create: async () => ({ run }) };"""
    )
    studio.page.add_init_script(FAKE_GPU)
    studio.open(serving(copied))
    studio.ready()
    assert studio.page.evaluate("document.documentElement.dataset.backend") == "wasm"


@pytest.mark.slow
def test_only_one_backend_is_fetched_and_nothing_from_elsewhere(
    site: Path, serving: Serving, studio: StaticPage
) -> None:
    asked: list[str] = []
    studio.page.on("request", lambda request: asked.append(request.url))
    url = serving(site)
    studio.open(url)
    studio.ready()
    assert all(each.startswith((url, "data:", "blob:")) for each in asked)
    names = {each.rpartition("/")[2] for each in asked}
    assert "ort-wasm-simd-threaded.wasm" in names
    assert not any("asyncify" in name or "webgpu" in name for name in names)
    asked.clear()
    studio.page.reload()
    studio.ready()
    assert not any(each.endswith("network.onnx") for each in asked)  # the browser has kept it


@pytest.mark.slow
def test_a_broken_download_gets_a_sentence(
    copied: Path, serving: Serving, studio: StaticPage
) -> None:
    network = copied / "model" / "network.onnx"
    network.write_bytes(network.read_bytes()[:-1000])
    studio.open(serving(copied))
    expect(studio.status).to_contain_text("network.onnx is broken", timeout=60_000)
    studio.page.get_by_role("button", name="Paint", exact=True).click()
    expect(studio.notice).to_contain_text("network.onnx is broken")


@pytest.mark.slow
def test_a_browser_without_simd_gets_a_sentence(
    copied: Path, serving: Serving, studio: StaticPage
) -> None:
    worker = copied / "network.js"
    worker.write_text(f"WebAssembly.validate = () => false;\n{worker.read_text()}")
    studio.open(serving(copied))
    expect(studio.status).to_contain_text("no WebAssembly with SIMD", timeout=60_000)


@pytest.fixture
def plain(site: Path) -> Iterator[str]:
    """The page by `python -m http.server`, whose headers allow no threads."""
    handler: Callable[..., SimpleHTTPRequestHandler] = partial(
        SimpleHTTPRequestHandler, directory=str(site)
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.mark.slow
def test_without_headers_for_threads_one_paints(plain: str, studio: StaticPage) -> None:
    (png,) = studio.paint(recipe(steps=3), plain)
    assert pixels_of(png).shape == (16, 16, 3)
    expect(studio.status).to_contain_text("one thread; several need headers")


def started(studio: StaticPage, url: str, tab: str, **chosen: object) -> StaticPage:
    """Open a laboratory and set its form."""
    studio.open(url)
    studio.ready()
    studio.page.locator(f"#{tab}-button").click()
    for name, value in chosen.items():
        studio.page.locator(f"#{tab} [name={name}]").evaluate(
            """(control, value) => {
                control.value = value;
                for (const kind of ["input", "change"]) {
                    control.dispatchEvent(new Event(kind, { bubbles: true }));
                }
            }""",
            str(value),
        )
    studio.page.locator(f"#{tab} .lab-act").click()
    return studio


def example_sources(site: Path, count: int) -> list[PictureSource]:
    examples = json.loads((site / "card.json").read_text())["examples"][:count]
    pngs = [(site / example["picture"]).read_bytes() for example in examples]
    return [PictureSource(painted=read_recipe(png)) for png in pngs]


HOW = {"model": "tiny", "steps": 20, "seed": 5}


def test_denoising_gives_the_same_picture_as_here(
    site: Path, serving: Serving, studio: StaticPage, painter: Painter
) -> None:
    started(studio, serving(site), "noise", sampler="ddpm", steps=20, seed=5)
    (png,) = studio.finished(studio.page.locator("#noise .player"))
    asked = Denoising.of(HOW | {"sampler": "ddpm", "t": 500}, example_sources(site, 1))
    lab = NoiseLab(painter)
    (right,) = lab.films.pictures(lab.complete(asked))
    assert apart(pixels_of(png), right.pixels) <= LEVELS


@pytest.mark.parametrize(
    "rule",
    ["slerp", *(pytest.param(it, marks=pytest.mark.slow) for it in ("variance_kept", "shared"))],
)
def test_mixing_gives_the_same_picture_as_here(
    rule: str, site: Path, serving: Serving, studio: StaticPage, painter: Painter
) -> None:
    chosen = {"sampler": "ddim", "steps": 20, "seed": 5, "rule": rule, "mix": 0.35}
    started(studio, serving(site), "mix", **chosen)
    (png,) = studio.finished(studio.page.locator("#mix .player"))
    fields = HOW | {"sampler": "ddim", "eta": 1.0, "t": 500, "mix": 0.35, "rule": rule}
    lab = MixLab(painter)
    (right,) = lab.films.pictures(lab.complete(Mixing.of(fields, example_sources(site, 2))))
    assert apart(pixels_of(png), right.pixels) <= LEVELS


@pytest.mark.slow
def test_a_visitors_picture_is_noised_and_a_file_that_is_none_gets_a_sentence(
    site: Path, serving: Serving, studio: StaticPage
) -> None:
    studio.open(serving(site))
    studio.page.locator("#noise-button").click()
    choose = studio.page.locator("#noise input[type=file]")
    bad: FilePayload = {"name": "letter.png", "mimeType": "image/png", "buffer": b"dear"}
    choose.set_input_files(bad)
    words = studio.page.locator("#noise .static-status")
    expect(words).to_contain_text("letter.png is no picture")
    picture = png_bytes(np.full((40, 60, 3), (200, 40, 40), np.uint8))
    choose.set_input_files({"name": "red.png", "mimeType": "image/png", "buffer": picture})
    expect(words).to_contain_text("stays on this device")
    chosen = studio.page.locator("#noise .plein-air-picker .lab-root")
    expect(chosen).to_have_attribute("data-chosen", "6")
    expect(studio.page.locator("#noise .lab-readout [data-read=signal]")).to_have_text("8 %")
