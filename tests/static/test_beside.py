"""A studio that has such a page beside it: served, offered in Paint, or first."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.errors import StudioError
from app.settings import Settings
from app.static.site import _write_page
from app.ui.browser import browser_first, browser_routes
from tests.workers import end_workers
from tools.server import running_server


@pytest.fixture
def page_folder(tmp_path: Path) -> Path:
    """A page's folder with scripts and an empty card, and no network."""
    folder = tmp_path / "page"
    folder.mkdir()
    _write_page(folder)
    (folder / "card.json").write_text("{}")
    return folder


async def studio_page(_: Request) -> PlainTextResponse:
    return PlainTextResponse("the studio")


def client_of(settings: Settings) -> TestClient:
    routes = [Route("/", studio_page), *browser_routes(settings)]
    return TestClient(Starlette(routes=routes, middleware=[*browser_first(settings)]))


def test_it_is_served_with_the_headers_for_threads(page_folder: Path) -> None:
    client = client_of(Settings(static_dir=page_folder))
    answer = client.get("/browser/")
    assert "Plein Air" in answer.text
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert client.get("/browser/card.json").json() == {"studio": "../?studio"}
    assert client.get("/browser/../../etc/passwd").status_code == 404
    assert client.get("/").text == "the studio"


def test_where_it_is_first_visitors_come_to_it_until_they_ask_for_the_studio(
    page_folder: Path,
) -> None:
    client = client_of(Settings(static_dir=page_folder, static_first=True))
    assert client.get("/").url.path == "/browser/"
    assert client.get("/?recipe=abc").text == "the studio"
    assert client.get("/").url.path == "/browser/"
    assert client.get("/?studio").text == "the studio"
    assert client.get("/").text == "the studio"


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="holds no page"):
        client_of(Settings(static_dir=tmp_path))


@pytest.mark.slow
@pytest.mark.e2e
def test_paint_leads_to_it_and_it_leads_back(
    site: Path, painter: object, browser_page: Page, tmp_path: Path
) -> None:
    del painter  # its models are in the page already
    folder = Path(shutil.copytree(site, tmp_path / "site"))
    environment = {"PLEIN_AIR_STATIC": str(folder), "PLEIN_AIR_DATA": str(tmp_path / "data")}
    try:
        with running_server(environment) as server:
            browser_page.goto(server.url)
            browser_page.get_by_role("link", name="paint in this browser").click()
            expect(browser_page).to_have_url(f"{server.url}browser/")
            status = browser_page.locator("#paint .static-status")
            expect(status).to_contain_text("ready", timeout=120_000)
            browser_page.get_by_role("link", name="the full studio").click()
            expect(browser_page.get_by_role("link", name="paint in this browser")).to_be_visible()
            browser_page.goto("about:blank")
    finally:
        end_workers(tmp_path / "data")
