"""The names that people wrote into scripts: variables of the environment, and calls of the API."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.settings import ROOT, Settings
from tests.compatibility.conftest import Served
from tests.compatibility.fixtures import table

CALLS: dict[str, Any] = table("api.json")
VARIABLES: dict[str, str] = table("environment.json")


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_still_sets_something(variable: str, tmp_path: Path) -> None:
    value = str(tmp_path) if VARIABLES[variable] == "FOLDER" else VARIABLES[variable]
    assert Settings.from_environment({variable: value}) != Settings.from_environment({})


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_still_described(name: str) -> None:
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    asking = paths[f"/gradio_api/call/v2/{name}"]["post"]["requestBody"]["content"]
    body = asking["application/json"]["schema"]
    answer = paths[f"/gradio_api/call/{name}/{{event_id}}"]["get"]["responses"]["200"]
    results = answer["x-complete-data"].get("prefixItems", [])
    assert_fits(name, list(body["properties"]), body["required"])
    assert [result["title"] for result in results] == CALLS[name]["returns"]


@pytest.mark.e2e
def test_the_page_still_has_every_call(alone: Served) -> None:
    api = alone.client.view_api(return_format="dict", print_info=False)
    assert isinstance(api, dict)
    for name, call in CALLS.items():
        endpoint = api["named_endpoints"][f"/{name}"]
        parameters = {
            each["parameter_name"]: each["parameter_has_default"] for each in endpoint["parameters"]
        }
        required = [each for each, has_default in parameters.items() if not has_default]
        assert_fits(name, list(parameters), required)
        assert len(endpoint["returns"]) == len(call["returns"]), name


def assert_fits(name: str, parameters: list[str], required: list[str]) -> None:
    """Assert that a call as it was written still fits; further parameters may only be optional."""
    call = CALLS[name]
    assert parameters[: len(call["parameters"])] == call["parameters"], name
    assert set(required) <= set(call["required"]), name
