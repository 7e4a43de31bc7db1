"""A call that can't be answered is told why, and leaves nothing in the log."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from app.settings import ROOT
from tests.disks import fill, small_disk
from tools.server import Server, running_server

FILE = {"meta": {"_type": "gradio.FileData"}}


def post(server: Server, route: str, body: object) -> tuple[int, str]:
    answer = httpx.post(f"{server.url}gradio_api/{route}", json=body, timeout=60)
    return answer.status_code, str(answer.json()["detail"])


@pytest.mark.parametrize("way", ["call/", "call/v2/", "run/", "api/"])
def test_an_unknown_endpoint_is_answered_with_those_there_are(server: Server, way: str) -> None:
    status, words = post(server, f"{way}pain", {"data": []})
    assert status == 404
    assert "no endpoint 'pain'" in words
    assert " paint, " in words
    assert "_" not in words.partition("There are ")[2].split(", ")[0], "the page's own are not told"


def test_an_unknown_argument_is_answered_with_those_there_are(server: Server) -> None:
    status, words = post(server, "call/v2/paint", {"stepz": 3})
    assert status == 400
    assert "no argument 'stepz'" in words
    assert " steps, " in words
    status, words = post(server, "call/v2/models", {"job": "x"})
    assert (status, words.endswith("It takes no arguments.")) == (400, True)


def test_a_missing_argument_is_named(server: Server) -> None:
    assert post(server, "call/v2/training", {}) == (400, "training needs 'job'. It takes job.")


def test_values_without_names_are_counted(server: Server) -> None:
    status, words = post(server, "call/training", {"data": [1, 2]})
    assert (status, words) == (
        400,
        "training takes 1 values in this order, and 2 came. It takes job.",
    )


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"[1]", b"\xff"])
def test_what_is_no_object_is_refused(server: Server, content: bytes) -> None:
    address, headers = (
        f"{server.url}gradio_api/call/v2/paint",
        {"content-type": "application/json"},
    )
    answer = httpx.post(address, content=content, headers=headers)
    assert answer.status_code in {400, 422}


def test_an_unknown_event_and_a_part_without_functions_are_refused(server: Server) -> None:
    body = {"data": [], "session_hash": "a", "fn_index": 99_999}
    status, words = post(server, "queue/join", body)
    assert (status, "no event 99999" in words) == (404, True)
    body = {"data": [], "session_hash": "a", "component_id": 1, "fn_name": "x"}
    assert post(server, "component_server", body)[0] == 404


def test_the_pages_events_that_do_not_queue_are_answered(server: Server) -> None:
    config = httpx.get(f"{server.url}config", timeout=60).json()
    direct = [each["id"] for each in config["dependencies"] if each["queue"] is False]
    picked = {"event_data": {"index": 1, "value": None}, "session_hash": "a", "data": []}
    answers = [
        httpx.post(f"{server.url}gradio_api/run/predict", json=picked | {"fn_index": number})
        for number in direct
    ]
    assert 200 in [answer.status_code for answer in answers]
    assert 404 not in [answer.status_code for answer in answers]
    status, words = post(server, "run/predict", picked | {"fn_index": 99_999})
    assert (status, "no event 99999" in words) == (404, True)


def test_nobody_is_told_who_asked_for_what(server: Server) -> None:
    for path in ("monitoring", "monitoring/summary"):
        assert httpx.get(server.url + path).status_code == 403


def told(server: Server, name: str, /, **how: object) -> str:
    """Call an endpoint, and return all that its stream of events says."""
    calls = f"{server.url}gradio_api/call"
    event = httpx.post(f"{calls}/v2/{name}", json=how).raise_for_status().json()["event_id"]
    return httpx.get(f"{calls}/{name}/{event}", timeout=60).text


@pytest.mark.parametrize(
    "path", ["file:///etc/passwd", "/etc/passwd", str(ROOT / "LICENSE"), ".env", "a\0b", "x" * 5000]
)
def test_an_answer_names_no_folder_of_this_machine(server: Server, path: str) -> None:
    said = told(server, "recipe", png={"path": path} | FILE)
    assert "no uploaded file" in said or "don't fit" in said
    assert str(ROOT) not in said


def test_a_list_or_an_object_for_what_is_neither_is_told_so(server: Server) -> None:
    said = told(server, "stop_training", job={"a": 1})
    assert "A job is a text. It is this: A training's id" in said
    assert "steps has to be a number." in told(server, "paint", steps=[5])


@pytest.mark.slow
@pytest.mark.parametrize("value", [{"a": 1}, [{"a": [1]}], "x", None, 10**30], ids=str)
def test_no_value_of_a_wrong_type_is_unforeseen(server: Server, value: object) -> None:
    calls = []
    for name, endpoint in (
        httpx.get(f"{server.url}gradio_api/info").json()["named_endpoints"].items()
    ):
        asked = {it["parameter_name"]: it["parameter_has_default"] for it in endpoint["parameters"]}
        required = {argument: "x" for argument, has_default in asked.items() if not has_default}
        quick = {"model": "tiny", "steps": 2} if {"model", "steps"} <= set(asked) else {}
        calls += [(name.strip("/"), required | quick | {argument: value}) for argument in asked]
    with ThreadPoolExecutor(8) as several:
        answers = list(several.map(lambda call: told(server, call[0], **call[1]), calls))
    unforeseen = [call for call, said in zip(calls, answers, strict=True) if "not finish" in said]
    assert unforeseen == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.mark.slow
def test_a_full_temporary_folder_is_said(disk: Path, model_root: Path, tmp_path: Path) -> None:
    environment = {
        "PLEIN_AIR_MODELS": str(model_root),
        "PLEIN_AIR_MODEL": "tiny",
        "PLEIN_AIR_DATA": str(tmp_path / "data"),
        "GRADIO_TEMP_DIR": str(disk),
    }
    with running_server(environment) as server:
        client = Client(server.url, verbose=False)
        fill(disk / "filling")
        files = {"files": ("a.txt", b"a" * 2_000_000)}
        answer = httpx.post(f"{server.url}gradio_api/upload", files=files, timeout=60)
        assert (answer.status_code, answer.text.startswith("The disk is full.")) == (507, True)
        with pytest.raises(AppError, match="The disk is full"):
            client.predict(steps=2, api_name="/paint")
