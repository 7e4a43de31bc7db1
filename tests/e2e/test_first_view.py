"""What a visit costs on the way to the browser, and what the browser has to say of it."""

from collections import Counter
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.e2e.lab_page import PATIENCE
from tools.server import Server

pytestmark = pytest.mark.e2e

FIRST, SECOND = 900_000, 60_000
QUIET_MS = 2_000
"""After the page is there, in which what it loads beside comes."""


class Visit:
    """One view of the page: the bytes that came, by address, and what the console said."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.said: list[str] = []
        self.urls: dict[str, str] = {}
        self.sizes: Counter[str] = Counter()
        page = context.new_page()
        page.on("console", lambda said: self.said.append(said.text))
        network = context.new_cdp_session(page)
        network.on("Network.requestWillBeSent", self._asked)
        # A stream of events has no end whose length could be asked.
        network.on("Network.dataReceived", lambda it: self._came(it, it["encodedDataLength"]))
        network.on("Network.loadingFinished", self._ended)
        network.send("Network.enable")
        page.goto(url)
        expect(page.locator(".player").first).to_have_attribute(
            "data-state", "finished", timeout=PATIENCE
        )
        expect(page.locator(".studio-examples img")).to_have_count(8)
        page.wait_for_timeout(QUIET_MS)
        page.close()

    def _asked(self, event: dict[str, Any]) -> None:
        self.urls[event["requestId"]] = event["request"]["url"]

    def _came(self, event: dict[str, Any], size: float) -> None:
        self.sizes[event["requestId"]] += int(size)

    def _ended(self, event: dict[str, Any]) -> None:
        self.sizes[event["requestId"]] = int(event["encodedDataLength"])

    @property
    def largest(self) -> list[tuple[str, int]]:
        return [(self.urls.get(key, ""), size) for key, size in self.sizes.most_common(12)]


def test_a_first_view_is_small_and_a_second_one_costs_hardly_anything(
    chromium: Browser, studio: Server
) -> None:
    context = chromium.new_context()
    first = Visit(context, studio.url)
    assert 100_000 < first.sizes.total() <= FIRST, first.largest
    assert [url for url in first.urls.values() if "hls" in url or "Video" in url] == []
    assert [url for url in first.urls.values() if not url.startswith((studio.url, "data:"))] == []
    second = Visit(context, studio.url)
    assert second.sizes.total() < SECOND, second.largest
    assert first.said == second.said == []
    context.close()


def test_a_page_that_changed_is_sent_anew(chromium: Browser, studio: Server) -> None:
    context = chromium.new_context()
    whole = context.request.get(studio.url)
    tag = whole.headers["etag"]
    same = context.request.get(studio.url, headers={"If-None-Match": tag})
    assert (same.status, same.body(), same.headers["etag"]) == (304, b"", tag)
    other = context.request.get(studio.url, headers={"If-None-Match": 'W/"another"'})
    assert (other.status, other.body()) == (200, whole.body())
    gone = context.request.get(f"{studio.url}studio/{'0' * 32}.jpg")
    assert gone.status == 404
    context.close()
