"""The public API, called as its users call it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from app.service.pictures import read_recipe
from app.service.recipe import Recipe
from app.settings import ROOT
from app.shell.server import Server

pytestmark = pytest.mark.e2e

ENDPOINTS = {"/paint", "/repaint", "/recipe", "/models"}


@pytest.fixture(scope="module")
def client(studio: Server, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(studio.url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def test_only_named_endpoints_are_public(client: Client) -> None:
    api = client.view_api(return_format="dict", print_info=False)
    assert isinstance(api, dict)
    assert set(api["named_endpoints"]) == ENDPOINTS
    assert api["unnamed_endpoints"] == {}
    assert all(endpoint["description"] for endpoint in api["named_endpoints"].values())


def test_paint_returns_png_files_and_recipes(client: Client) -> None:
    files, recipes = client.predict(
        model="tiny", sampler="ddpm", steps=5, seed=7, pictures=2, api_name="/paint"
    )
    assert [Path(file).name for file in files] == [f"tiny-ddpm-5-seed-{s}.png" for s in (7, 8)]
    for file, recipe in zip(files, recipes, strict=True):
        assert read_recipe(Path(file).read_bytes()) == Recipe.model_validate(recipe)


def test_a_recipe_goes_round(client: Client) -> None:
    (file,), (recipe,) = client.predict(model="tiny", steps=4, seed=3, api_name="/paint")
    assert client.predict(handle_file(file), api_name="/recipe") == recipe
    wish = Recipe.model_validate(recipe).to_json()
    (again,), _ = client.predict(wish, api_name="/repaint")
    assert Path(again).read_bytes() == Path(file).read_bytes()


def test_models_are_listed(client: Client) -> None:
    listed = {model["id"]: model for model in client.predict(api_name="/models")}
    assert {"impressionist-64", "tiny", "classes", "learned"} <= set(listed)
    assert listed["tiny"]["size"] == 16


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda c: c.predict(steps=0, api_name="/paint"), "steps"),
        (lambda c: c.predict(steps="many", api_name="/paint"), "steps"),
        (lambda c: c.predict(seed=-1, api_name="/paint"), "seed"),
        (lambda c: c.predict(pictures=17, api_name="/paint"), "pictures"),
        (lambda c: c.predict(eta="much", api_name="/paint"), "eta"),
        (lambda c: c.predict(sampler="magic", api_name="/paint"), "no sampler 'magic'"),
        (lambda c: c.predict(model="../tiny", api_name="/paint"), "model"),
        (lambda c: c.predict(model="nobody", api_name="/paint"), "no model 'nobody'"),
        (lambda c: c.predict("{}", api_name="/repaint"), "model"),
        (lambda c: c.predict(7, api_name="/repaint"), "A recipe is a text."),
        (lambda c: c.predict({"path": str(ROOT / "LICENSE")}, api_name="/recipe"), "no uploaded"),
        (lambda c: c.predict({"path": "missing.png"}, api_name="/recipe"), "no uploaded"),
        (lambda c: c.predict("x", api_name="/recipe"), "no uploaded"),
    ],
)  # fmt: skip
def test_a_bad_call_is_told_what_is_wrong(
    client: Client, call: Callable[[Client], object], says: str
) -> None:
    with pytest.raises(AppError, match=says):
        call(client)
