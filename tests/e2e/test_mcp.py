"""The studio's calls as MCP tools, asked for by an MCP client."""

import asyncio
import base64
import io
import re
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from app.settings import Settings
from tests.workers import end_workers
from tools.api_docs.reference import sections
from tools.server import Server, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Answer:
    """What a tool answered: whether it is a fault, its texts, its images as files."""

    fault: bool
    texts: tuple[str, ...]
    images: tuple[bytes, ...]


@pytest.fixture(scope="module")
def server(model_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("data")
    settings = Settings(models_dir=model_root, default_model="tiny", data_dir=data, mcp=True)
    names = ("PLEIN_AIR_MODELS", "PLEIN_AIR_MODEL", "PLEIN_AIR_DATA", "PLEIN_AIR_MCP")
    environment = {name: settings.variables()[name] for name in names}
    environment["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("gradio"))
    try:
        with running_server(environment) as running:
            yield running
    finally:
        end_workers(data)


def apart(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on a thread of its own: Playwright's loop runs on that of the tests."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@asynccontextmanager
async def session_with(server: Server) -> AsyncIterator[Any]:
    address = f"{server.url}gradio_api/mcp/"
    async with (
        streamable_http_client(address) as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        yield session


def answer(server: Server, tool: str, given: dict[str, object], heard: list[float]) -> Answer:
    """What a tool answers to a client that asks for progress and puts it into `heard`."""

    async def hear(done: float, *_: object) -> None:
        heard.append(done)

    async def call() -> Answer:
        async with session_with(server) as session:
            result = await session.call_tool(tool, given, progress_callback=hear)
        texts = tuple(it.text for it in result.content if it.type == "text")
        images = (base64.b64decode(it.data) for it in result.content if it.type == "image")
        return Answer(result.isError, texts, tuple(images))

    return apart(call())


def test_every_endpoint_is_a_tool_that_says_what_it_takes(server: Server) -> None:
    async def list_tools() -> dict[str, tuple[str, dict[str, Any]]]:
        async with session_with(server) as session:
            listed = await session.list_tools()
        return {it.name: (it.description, it.inputSchema["properties"]) for it in listed.tools}

    tools = apart(list_tools())
    known = [endpoint for section in sections().values() for endpoint in section]
    assert set(tools) == {endpoint.name for endpoint in known}
    for endpoint in known:
        description, properties = tools[endpoint.name]
        assert description.startswith(endpoint.words)
        for parameter in endpoint.parameters:
            assert properties[parameter.name]["description"] == parameter.words


def test_a_painting_is_noised_by_its_address(server: Server) -> None:
    heard: list[float] = []
    painted = answer(server, "paint", {"steps": 3.0, "seed": 5}, heard)
    assert heard
    assert "'seed': 5" in painted.texts[1]
    address = re.search(r"http[^']*\.png", painted.texts[0])
    assert address
    noised = answer(server, "noise_strip", {"picture": address[0], "moments": 3}, heard)
    with Image.open(io.BytesIO(noised.images[0])) as strip:
        assert strip.format == "PNG"
    assert "'t': 1000" in noised.texts[-1]


@pytest.mark.parametrize(
    ("tool", "given", "says"),
    [
        ("paint", {"model": "nobody"}, "no model 'nobody'"),
        ("paint", {"steps": 0}, "steps is 0, but must be at least 1"),
        ("model_view", {"picture": "http://192.0.2.1/x.png"}, "no uploaded file"),
    ],
)
def test_a_tool_that_is_used_wrongly_says_so(
    server: Server, tool: str, given: dict[str, object], says: str
) -> None:
    refused = answer(server, tool, given, [])
    assert refused.fault
    assert says in refused.texts[0]
