"""The public API, called as its users call it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from app.laboratory.experiments import BoundRequest, ForwardStrip, Mixing, read_experiment
from app.painting.recipe import Recipe, read_recipe
from app.settings import ROOT
from tests.holes import save_picture_and_mask
from tools.server import Server

pytestmark = pytest.mark.e2e

ENDPOINTS = {
    *("/paint", "/repaint", "/sheet", "/sheet_time", "/recipe", "/models", "/model_view"),
    *("/noise_strip", "/noise_schedules", "/noise_chain", "/noise_posterior", "/denoise"),
    *(
        "/enlarge",
        "/mix",
        "/mix_variances",
        "/mix_grid",
        "/mix_grid_time",
        "/mix_morph",
        "/seed_morph",
    ),
    *("/bound", "/bound_weights"),
    *("/upload_pictures", "/picture_sets", "/delete_pictures", "/start_training", "/trainings"),
    *(
        "/training",
        "/training_samples",
        "/training_model",
        "/training_curves",
        "/stop_training",
        "/resume_training",
    ),
    *("/extend_training", "/rename_training", "/delete_training"),
    *("/keep_training", "/unkeep_training"),
}


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


def test_a_class_is_asked_for_by_number_or_name(client: Client) -> None:
    call: dict[str, Any] = {"model": "classes", "sampler": "ddpm", "steps": 3, "api_name": "/paint"}
    asked = ("River", 1, None, "any")
    found = [client.predict(label=label, **call)[1][0].get("label") for label in asked]
    assert found == [1, 1, None, None]


def test_a_recipe_goes_round(client: Client) -> None:
    (file,), (recipe,) = client.predict(model="tiny", steps=4, seed=3, api_name="/paint")
    assert client.predict(handle_file(file), api_name="/recipe") == recipe
    wish = Recipe.model_validate(recipe).to_json()
    (again,), _ = client.predict(wish, api_name="/repaint")
    assert Path(again).read_bytes() == Path(file).read_bytes()


def test_a_sheet_is_painted_and_its_time_told(client: Client) -> None:
    axes: dict[str, Any] = {
        "rows": "steps",
        "row_values": [2, 3],
        "columns": "sampler",
        "column_values": ["ddpm", "ddim"],
    }
    call: dict[str, Any] = {"model": "tiny", "seed": 3, **axes}
    file, experiment = client.predict(**call, api_name="/sheet")
    assert Path(file).name == "tiny-sheet-steps-sampler-seed-3.png"
    read = read_experiment(Path(file).read_bytes())
    assert read.model_dump(mode="json", exclude_none=True) == experiment
    assert experiment["rows"]["values"] == [2, 3]
    time = client.predict(**call, api_name="/sheet_time")
    assert time["network_steps"] == 10
    assert time["seconds"] > 0
    with pytest.raises(AppError, match="9000 as a value of steps"):
        client.predict(**call | {"row_values": [2, 9000]}, api_name="/sheet")
    with pytest.raises(AppError, match="no setting 'size'"):
        client.predict(**call | {"rows": "size"}, api_name="/sheet")


def test_paint_starts_from_a_picture_and_paints_a_part_anew(client: Client, tmp_path: Path) -> None:
    source, mask, pixels, white = save_picture_and_mask(tmp_path)
    call: dict[str, Any] = {"model": "tiny", "steps": 4, "api_name": "/paint"}
    picture, hole = handle_file(source), handle_file(mask)
    (file,), (recipe,) = client.predict(source=picture, start_t=500, sketch=True, **call)
    assert recipe["start_t"] == 500
    assert "mask" not in recipe
    (file,), (recipe,) = client.predict(source=picture, mask=hole, resampling=2, size=64, **call)
    with Image.open(file) as image:
        kept = np.asarray(image)[white == 0]
    assert kept.tobytes() == pixels[white == 0].tobytes()
    (again,), _ = client.predict(json.dumps(recipe), api_name="/repaint")
    assert Path(again).read_bytes() == Path(file).read_bytes()
    assert client.predict(handle_file(file), api_name="/recipe") == recipe
    Image.new("L", (63, 64), 255).save(mask)
    for wrong, says in (
        ({"source": picture}, "needs a start_t"),
        ({"mask": hole}, "A mask is about a picture"),
        ({"start_t": 500}, "there is none"),
        ({"source": picture, "mask": handle_file(mask)}, "63 x 64 pixels"),
        ({"source": handle_file(ROOT / "LICENSE"), "start_t": 5}, "no picture"),
        ({"source": {"path": str(ROOT / "assets/strip.png")}, "start_t": 5}, "no uploaded"),
    ):
        with pytest.raises(AppError, match=says):
            client.predict(**wrong, **call)


def test_models_are_listed(client: Client) -> None:
    listed = {model["id"]: model for model in client.predict(api_name="/models")}
    assert {"impressionist-64", "tiny", "classes", "learned"} <= set(listed)
    assert listed["tiny"]["size"] == 16


def test_whole_numbers_may_be_written_as_fractions(client: Client) -> None:
    call: dict[str, Any] = {"model": "tiny", "sampler": "ddim", "api_name": "/paint"}
    _, as_ints = client.predict(steps=5, seed=7, eta=1, **call)
    _, as_floats = client.predict(steps=5.0, seed=7.0, eta=1.0, **call)
    assert as_floats == as_ints
    with pytest.raises(AppError, match="steps is not a whole number"):
        client.predict(steps=5.5, **call)


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
        (lambda c: c.predict(model="classes", label="Monet", api_name="/paint"), "0 garden, 1"),
        (lambda c: c.predict(model="tiny", label="river", api_name="/paint"), "has no classes"),
        (lambda c: c.predict(model="tiny", guidance_scale=2, api_name="/paint"), "be guided"),
        (lambda c: c.predict(guidance_from=2, guidance_to=9, api_name="/paint"), "not from 2 to 9"),
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


@pytest.fixture(scope="module")
def pictures(client: Client) -> list[Any]:
    """Two paintings, as a caller uploads them."""
    files, _ = client.predict(model="tiny", steps=2, seed=1, pictures=2, api_name="/paint")
    return [handle_file(file) for file in files]


def test_the_noise_laboratory_answers(client: Client, pictures: list[Any]) -> None:
    how = {"picture": pictures[0], "model": "tiny"}
    with Image.open(client.predict(**how, api_name="/model_view")) as seen:
        assert seen.size == (16, 16)
    strip, gif, moments = client.predict(**how, moments=4, api_name="/noise_strip")
    experiment = read_experiment(Path(strip).read_bytes())
    assert isinstance(experiment, ForwardStrip)
    assert [m["t"] for m in moments] == [0, 333, 667, 1000]
    assert moments[0]["snr_db"] is None
    assert Path(gif).suffix == ".gif"
    curves = client.predict(**how, schedule="linear", beta_end=0.01, api_name="/noise_schedules")
    assert len(curves) == 5
    _, numbers = client.predict(**how, t=100, api_name="/noise_chain")
    assert numbers["chain"]["std"] == pytest.approx(numbers["expected_std"], rel=0.2)
    png, numbers = client.predict(**how, t=100, api_name="/noise_posterior")
    assert numbers["beta_tilde"] < numbers["beta"]
    assert read_experiment(Path(png).read_bytes()).experiment == "inspection"
    files, experiments = client.predict(**how, t=50, steps=40, variations=2, api_name="/denoise")
    assert [Path(f).name for f in files] == [f"tiny-denoising-50-seed-{s}.png" for s in (0, 1)]
    assert [e["run"]["picture"] for e in experiments] == [0, 1]
    (file,), _ = client.predict(**how, t=50, steps=40, size=64, api_name="/denoise")
    assert Path(file).name == "tiny-denoising-50-seed-0-64px-0.png"
    (file,), (enlarged,) = client.predict(**how, stage_steps=2, api_name="/enlarge")
    assert (enlarged["t"], enlarged["run"]["size"]) == (0, 64)
    with Image.open(file) as large:
        assert large.size == (64, 64)
    (file,), (recipe,) = client.predict(model="tiny", steps=3, size=64, api_name="/paint")
    assert read_recipe(Path(file).read_bytes()).stage_weights == recipe["stage_weights"]
    (again,), _ = client.predict(recipe=json.dumps(recipe), api_name="/repaint")
    with Image.open(file) as first, Image.open(again) as second:
        assert first.tobytes() == second.tobytes()


def test_the_mix_laboratory_answers(client: Client, pictures: list[Any]) -> None:
    pair = {"first": pictures[0], "second": pictures[1], "model": "tiny"}
    (file,), (experiment,) = client.predict(**pair, t=100, mix=0.3, steps=20, api_name="/mix")
    assert read_experiment(Path(file).read_bytes()) == Mixing.from_json(json.dumps(experiment))
    (file,), _ = client.predict(**pair, t=100, steps=20, size=64, api_name="/mix")
    with Image.open(file) as large:
        assert large.size == (64, 64)
    variances = client.predict(**pair, t=100, api_name="/mix_variances")
    assert [v["rule"] for v in variances] == ["linear", "shared", "variance_kept", "slerp"]
    time = client.predict(**pair, rows=[0.0, 100.0], steps=20, size=64, api_name="/mix_grid_time")
    assert (time["network_steps"], time["seconds"] > 0) == (2 + 2 * 12, True)
    sheet, grid = client.predict(
        **pair, rows=[0, 100], between=1, steps=20, api_name="/mix_grid"
    )  # fmt: skip
    assert (grid["rows"], grid["between"]) == ([0, 100], 1)
    assert read_experiment(Path(sheet).read_bytes()).experiment == "grid"
    for call in (
        {**pair, "t": 100, "frames": 3, "steps": 20, "api_name": "/mix_morph"},
        {"first_seed": 1, "second_seed": 2, "frames": 3, "steps": 5, "model": "tiny",
         "api_name": "/seed_morph"},
    ):  # fmt: skip
        gif, strip, morph = client.predict(**call, size=64, stage_steps=2, stage_seed=3)
        assert (Path(gif).suffix, morph["frames"]) == (".gif", 3)
        assert (morph["run"]["size"], morph["run"]["stage_seed"]) == (64, 3)
        assert read_experiment(Path(strip).read_bytes()).experiment in {"morph", "seed_morph"}


def test_the_bound_laboratory_answers(client: Client, pictures: list[Any]) -> None:
    how = {"picture": pictures[0], "model": "tiny"}
    figure, terms, bounding = client.predict(**how, terms=4, api_name="/bound")
    assert read_experiment(Path(figure).read_bytes()) == BoundRequest.from_json(
        json.dumps(bounding)
    )
    assert [term["kind"] for term in terms] == ["prior", *["step"] * 4, "decoder"]
    last = terms[-1]
    assert last["total"] == pytest.approx(last["prior"] + last["vb"] + last["decoder"])
    assert bounding["terms"] == 4
    weights = client.predict(model="tiny", api_name="/bound_weights")
    assert len(weights["t"]) == len(weights["vlb"]) == 500


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"api_name": "/noise_strip", "moments": 1}, "moments"),
        ({"api_name": "/noise_strip", "schedule": "magic"}, "schedule"),
        ({"api_name": "/noise_strip", "fit": "stretch"}, "crop or squash"),
        ({"api_name": "/noise_chain", "t": 0}, "no noise to take away"),
        ({"api_name": "/denoise", "t": 10_001}, "t is 10001"),
        ({"api_name": "/denoise", "sampler": "magic"}, "no sampler"),
        ({"api_name": "/denoise", "t": 0}, "no noise to take away"),
        ({"api_name": "/enlarge", "stage": "nobody"}, "no second stage"),
        ({"api_name": "/enlarge", "stage_noise": 500}, "as noisy as at t = 500"),
        ({"api_name": "/bound", "variance": "learned"}, "did not learn"),
        ({"api_name": "/bound", "model": "nobody"}, "no model"),
        ({"api_name": "/bound", "picture": {"path": str(ROOT / "LICENSE")}}, "no uploaded"),
        ({"api_name": "/bound", "picture": handle_file(ROOT / "LICENSE")}, "no picture"),
    ],
)
def test_a_bad_experiment_is_told_what_is_wrong(
    client: Client, pictures: list[Any], call: dict[str, Any], says: str
) -> None:
    with pytest.raises(AppError, match=says):
        client.predict(**({"picture": pictures[0], "model": "tiny"} | call))
