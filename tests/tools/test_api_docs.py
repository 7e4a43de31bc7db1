"""What is written about the API is what the code says, and an endpoint says all there is."""

import json
import tomllib
from typing import Annotated

import pytest
from pydantic import Field

from app.errors import StudioError
from app.settings import ROOT, Settings
from app.ui.endpoints.endpoint import Endpoint
from app.ui.page import MCP_COMMAND, serve
from tools.api_docs.examples import EXAMPLES
from tools.api_docs.openapi import openapi
from tools.api_docs.reference import rewritten, sections

SECTIONS = sections()
KNOWN = [endpoint for section in SECTIONS.values() for endpoint in section]


def test_the_documents_are_what_the_command_writes() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert rewritten(page, SECTIONS) == page, "run python -m tools.api_docs"
    description = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")
    assert openapi(KNOWN) == json.loads(description), "run python -m tools.api_docs"


def test_every_endpoint_has_an_example_of_arguments_that_it_takes() -> None:
    assert set(EXAMPLES) == {endpoint.name for endpoint in KNOWN}
    for endpoint in KNOWN:
        given = set(EXAMPLES[endpoint.name])
        assert given <= {it.name for it in endpoint.parameters}
        assert given >= {it.name for it in endpoint.parameters if it.required}


def test_a_page_without_a_place_for_the_endpoints_is_left_alone() -> None:
    with pytest.raises(StudioError, match="no place"):
        rewritten("# Something else", SECTIONS)


def test_an_endpoint_is_what_its_function_says() -> None:
    def halve(number: Annotated[int, Field(ge=2, le=9, description="What to halve.")] = 4) -> int:
        """Halve a number.

        Returns:
            half: The half.
        """
        return number // 2

    endpoint = Endpoint.of(halve)
    assert (endpoint.name, endpoint.words) == ("halve", "Halve a number.")
    (parameter,), (result,) = endpoint.parameters, endpoint.results
    assert (parameter.name, parameter.required) == ("number", False)
    assert parameter.words == "What to halve. From 2 to 9."
    assert parameter.schema["minimum"] == 2
    assert (result.name, result.words, result.schema) == ("half", "The half.", {"type": "integer"})
    assert "    number: What to halve. From 2 to 9.\n" in endpoint.docstring


def test_an_endpoint_that_does_not_say_everything_is_refused() -> None:
    def silent() -> None: ...

    def nameless(number: int) -> None:
        """Take a number."""

    def secret() -> int:
        """Return a number."""
        return 0

    for handler, lacks in (
        (silent, "what it does"),
        (nameless, "what number is"),
        (secret, "returns 1 values and describes 0"),
    ):
        with pytest.raises(ValueError, match=lacks):
            Endpoint.of(handler)


def test_mcp_without_its_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ui.page.find_spec", lambda name: None)
    with pytest.raises(StudioError, match=r"pip install \"gradio\[mcp\]"):
        serve(Settings(mcp=True))


def test_the_command_installs_the_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extra,) = project["optional-dependencies"]["mcp"]
    assert f'"{extra}"' in MCP_COMMAND
    assert MCP_COMMAND in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
