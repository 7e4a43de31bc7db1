"""A visitor gets a token by which, and by nothing else, the studio knows them again."""

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from app.owners import ALONE
from app.settings import Settings
from app.ui.middleware import COOKIE, VisitorCookie, owner_of, token_in


@pytest.fixture
def client() -> TestClient:
    async def answer(request: Request) -> Response:
        return PlainTextResponse(request.cookies.get(COOKIE, ""))

    routes = [Route("/", answer, methods=["GET", "POST"]), Route("/config", answer)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(VisitorCookie)]))


def test_the_page_brings_a_token_that_scripts_can_not_read(client: TestClient) -> None:
    given = client.get("/").headers["set-cookie"]
    assert re.fullmatch(
        rf"{COOKIE}=[\w-]{{43}}; Path=/; Max-Age=\d+; HttpOnly; SameSite=Lax", given
    )


def test_a_visitor_keeps_their_token(client: TestClient) -> None:
    first = client.get("/").cookies[COOKIE]
    assert client.get("/").cookies[COOKIE] == first
    assert client.get("/").text == first
    client.cookies.clear()
    assert client.get("/").cookies[COOKIE] != first


def test_nothing_but_the_page_gives_tokens(client: TestClient) -> None:
    assert "set-cookie" not in client.get("/config").headers
    assert "set-cookie" not in client.post("/").headers


def test_a_token_that_travelled_safely_goes_back_safely_only(client: TestClient) -> None:
    given = client.get("/", headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert given.endswith("; Secure")


@pytest.mark.parametrize(
    "cookie",
    ["", "other=1", f"{COOKIE}=short", f"{COOKIE}={'a' * 44}", f"{COOKIE}={'/' * 43}", ";="],
)
def test_what_is_no_token_is_nobody(client: TestClient, cookie: str) -> None:
    assert token_in(cookie) == ""
    given = client.get("/", headers={"cookie": cookie}).headers["set-cookie"]
    assert len(token_in(given.partition(";")[0])) == 43


def test_a_single_user_needs_no_token() -> None:
    assert owner_of(Settings(single_user=True), None) == ALONE
    assert owner_of(Settings(single_user=False), None) == ""
