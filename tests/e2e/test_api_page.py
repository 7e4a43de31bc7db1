"""What the running page says of its API is whole, and holds."""

import io
import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from app.settings import ROOT
from tools.server import Server

pytestmark = pytest.mark.e2e

Json = dict[str, Any]

DESCRIPTION: Json = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))


def body_of(name: str) -> Json:
    """What docs/openapi.json says of the arguments of an endpoint."""
    post = DESCRIPTION["paths"][f"/gradio_api/call/v2/{name}"]["post"]
    schema: Json = post["requestBody"]["content"]["application/json"]["schema"]
    return schema


def fetched(url: str) -> bytes:
    with urlopen(url, timeout=30) as response:
        return bytes(response.read())


@pytest.fixture(scope="module")
def info(studio: Server) -> Json:
    found: Json = json.loads(fetched(f"{studio.url}gradio_api/info"))
    return found


def test_the_page_lists_what_the_description_describes_and_no_more(info: Json) -> None:
    asked = "/gradio_api/call/v2"
    described = {path.removeprefix(asked) for path in DESCRIPTION["paths"] if asked in path}
    assert set(info["named_endpoints"]) == described
    assert info["unnamed_endpoints"] == {}


def test_the_page_says_of_every_argument_and_result_what_it_is(info: Json) -> None:
    for name, endpoint in info["named_endpoints"].items():
        assert endpoint["description"].endswith("."), name
        for thing in (*endpoint["parameters"], *endpoint["returns"]):
            assert thing["label"].isidentifier(), (name, thing["label"])
            assert thing["python_type"]["type"] != "Any", (name, thing["label"])
            assert thing["python_type"]["description"].endswith("."), (name, thing["label"])


def test_the_page_and_the_description_agree_on_every_argument(info: Json) -> None:
    for name, endpoint in info["named_endpoints"].items():
        body = body_of(name.strip("/"))
        assert [p["parameter_name"] for p in endpoint["parameters"]] == list(body["properties"])
        for parameter in endpoint["parameters"]:
            label = parameter["parameter_name"]
            said = body["properties"][label]
            assert parameter["python_type"]["description"] == said["description"]
            assert parameter["parameter_has_default"] == (label not in body["required"])
            # The studio of the tests opens with another model.
            if label != "model":
                assert parameter["parameter_default"] == said.get("default")


def test_a_client_prints_every_endpoint(studio: Server, info: Json) -> None:
    text = Client(studio.url, verbose=False).view_api(print_info=False, return_format="str")
    assert isinstance(text, str)
    assert all(f'api_name="{name}"' in text for name in info["named_endpoints"])
    assert "From 1 to 1,000." in text


def beyond() -> list[tuple[str, str, float]]:
    """Every argument with a range, and the number that is next to either end of it."""
    found = []
    for path in DESCRIPTION["paths"]:
        _, asked, name = path.partition("/gradio_api/call/v2/")
        for label, schema in body_of(name)["properties"].items() if asked else ():
            numbers = schema.get("anyOf", [schema])[0]
            ends = (
                ("minimum", -1),
                ("maximum", 1),
                ("exclusiveMinimum", 0),
                ("exclusiveMaximum", 0),
            )
            found += [
                (name, label, numbers[end] + step) for end, step in ends if end in numbers
            ]  # fmt: skip
    return found


@pytest.mark.slow
def test_a_number_beyond_its_range_is_refused(studio: Server, tmp_path: Path) -> None:
    client = Client(studio.url, verbose=False)
    Image.new("RGB", (16, 16), "teal").save(tmp_path / "teal.png")
    picture = handle_file(tmp_path / "teal.png")
    cases = [case for case in beyond() if not case[0].endswith("_training")]
    assert len(cases) > 80
    for name, label, number in cases:
        given: Json = dict.fromkeys(("picture", "first", "second"), picture)
        given |= {"first_seed": 0, "second_seed": 0, "schedule": "linear", "job": "nobody"}
        given |= {"rows": "steps", "row_values": [2], "columns": "eta", "column_values": [0]}
        body = body_of(name)
        call = {each: given[each] for each in given if each in body["properties"]}
        with pytest.raises(AppError) as refused:
            client.predict(**call | {label: number}, api_name=f"/{name}")
        assert "could not finish" not in str(refused.value), (name, label, number)


@pytest.mark.parametrize(
    "address", ["http://192.0.2.1/picture.png", "http://192.0.2.1/gradio_api/file=/etc/hostname"]
)
def test_a_file_elsewhere_is_not_fetched(studio: Server, address: str) -> None:
    client = Client(studio.url, verbose=False)
    with pytest.raises(AppError, match="no uploaded file"):
        client.predict(handle_file(address), api_name="/model_view")


def test_a_file_of_this_studio_is_found_by_its_address(studio: Server) -> None:
    client = Client(studio.url, verbose=False, download_files=False)
    (file,), _ = client.predict(steps=2, api_name="/paint")
    seen = client.predict(handle_file(file["url"]), api_name="/model_view")
    first, second = (Image.open(io.BytesIO(fetched(each["url"]))) for each in (file, seen))
    assert first.tobytes() == second.tobytes()
