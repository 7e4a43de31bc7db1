"""The gate answers /status and refuses requests beyond a visitor's share; the rest passes."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.limits import Visits
from app.studio import Status
from app.ui.middleware import RateLimit, visitor_of

STATUS = Status("1.0", "tiny", 5, 3, 40, 1, 20, 500, 900, 8_000)
JOIN = "/gradio_api/queue/join"


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("the page")


@pytest.fixture
def client() -> Iterator[TestClient]:
    gate = Middleware(RateLimit, visits=Visits(2), status=lambda: STATUS, proxies=1)
    everything = Route("/{path:path}", page, methods=["GET", "POST"])
    with TestClient(Starlette(routes=[everything], middleware=[gate])) as made:
        yield made


def test_status_is_told_as_json(client: TestClient) -> None:
    answer = client.get("/status")
    assert answer.json()["queue_length"] == 3
    assert answer.json()["model"] == "tiny"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        *(JOIN, "/gradio_api/component_server"),
        *(f"/gradio_api/{way}/paint" for way in ("call", "call/v2", "run", "api")),
    ],
)
def test_requests_beyond_a_share_are_told_when_to_come_back(client: TestClient, path: str) -> None:
    assert [client.post(path).status_code for _ in range(3)] == [200, 200, 429]
    refused = client.post(path)
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert "Wait" in refused.json()["detail"]


def test_uploads_beyond_a_share_are_refused_in_plain_words(client: TestClient) -> None:
    assert [client.post("/gradio_api/upload").status_code for _ in range(3)] == [200, 200, 429]
    assert client.post("/gradio_api/upload?upload_id=a").text.startswith("These are more requests")
    assert client.post("/gradio_api/process_recording").status_code == 429


def test_every_visitor_has_a_share(client: TestClient) -> None:
    for address in ("1.1.1.1", "2.2.2.2"):
        headers = {"x-forwarded-for": address}
        codes = [client.post(JOIN, headers=headers).status_code for _ in range(3)]
        assert codes == [200, 200, 429]


def test_what_a_visitor_says_of_themselves_gives_no_other_share(client: TestClient) -> None:
    headers = ({"x-forwarded-for": f"{i}.{i}.{i}.{i}, 1.1.1.1"} for i in range(3))
    assert [client.post(JOIN, headers=each).status_code for each in headers] == [200, 200, 429]


@pytest.mark.parametrize(
    ("forwarded", "proxies", "visitor"),
    [
        (["invented, 1.1.1.1"], 1, "1.1.1.1"),
        (["invented", "1.1.1.1"], 1, "1.1.1.1"),
        (["invented, 1.1.1.1,10.0.0.1"], 2, "1.1.1.1"),
        (["invented,1.1.1.1", "10.0.0.1"], 2, "1.1.1.1"),
        (["invented, 1.1.1.1, 10.0.0.1"], 1, "1.1.1.1"),
        (["10.0.0.7"], 1, "10.0.0.7"),
        (["invented, invented"], 4, "9.9.9.9"),
        (["invented,"], 1, "9.9.9.9"),
        (["invented"], 2, "9.9.9.9"),
        (["invented"], 0, "9.9.9.9"),
        ([], 1, "9.9.9.9"),
        (["1.1.1.1:4711"], 1, "1.1.1.1"),
        (["invented, 1.1.1.1, 10.0.0.1:80"], 1, "1.1.1.1"),
        (["::ffff:1.1.1.1"], 1, "1.1.1.1"),
        (["2001:db8:1:2:3:4:5:6"], 1, "2001:db8:1:2::/64"),
        (["2001:DB8:1:2::9"], 1, "2001:db8:1:2::/64"),
        (["[2001:db8:1:2::9]"], 1, "2001:db8:1:2::/64"),
        (["[2001:db8:1:2::9]:443"], 1, "2001:db8:1:2::/64"),
        (["fe80::1%eth0"], 1, "fe80::/64"),
        (["_hidden:x"], 1, "_hidden:x"),
    ],
)
def test_a_visitor_is_whom_the_first_proxy_heard(
    forwarded: list[str], proxies: int, visitor: str
) -> None:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope = {"type": "http", "headers": headers, "client": ("9.9.9.9", 1)}
    assert visitor_of(scope, proxies) == visitor


def test_looking_is_not_counted(client: TestClient) -> None:
    for _ in range(9):
        assert client.get("/").text == "the page"
        assert client.get("/gradio_api/call/paint/1").status_code == 200
        assert client.post("/gradio_api/cancel").status_code == 200
    assert client.post(JOIN).status_code == 200
