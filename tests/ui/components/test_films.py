"""What a player is told: of runs, and of files that are made of them."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.images.arrays import Pixels
from app.laboratory.experiments import Denoising, Mixing
from app.models.loading import LoadedModel
from app.painting import painter
from app.painting.recipe import Recipe, read_recipe
from app.painting.sources import PictureSource
from app.settings import ROOT, Settings
from app.studio import Studio
from app.ui.components.films import download, film_messages, summary, tell
from app.ui.components.messages import VIEWS, Download, End, Failure, Frames, Start, Waiting
from app.ui.components.player import PlayerEvent
from app.ui.paint.stream import file_messages, paint_messages

WISH = Recipe(model="tiny", sampler="ddim", steps=6, seed=3, pictures=2, picture=1)
STRIP = PlayerEvent(action="strip", run="a run", picture=1, frame=0)
GIF = PlayerEvent(action="animate", run="a run", picture=1, frame=0)


@pytest.fixture
def studio(model_root: Path, tmp_path: Path) -> Studio:
    return Studio(
        Settings(
            models_dir=model_root, data_dir=tmp_path, device="cpu", threads=1, picture_steps=100
        )
    )


def test_samplers_have_one_name_on_the_page_and_in_the_readme() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    compared = readme.partition("**Compare samplers.**")[2].partition("**")[0]
    for kind in SAMPLER_KINDS.values():
        assert summary(WISH.model_copy(update={"sampler": kind.name})).startswith(kind.label)
        assert kind.label.partition(",")[0] in compared


def test_a_branch_tells_the_t_at_which_it_begins(studio: Studio) -> None:
    branch = studio.painter.branch(WISH, 3, variations=1, seed=5)
    start, *_, end = paint_messages(studio, lambda: branch)
    assert isinstance(start, Waiting | Start)
    assert isinstance(end, End)
    assert "branch at t = 500" in end.pictures[0].recipe


def test_a_model_is_said_to_be_loaded_before_it_is(studio: Studio) -> None:
    painting = paint_messages(studio, lambda: WISH)
    assert next(painting) == Waiting("loading the model", token=ANY)
    assert studio.models.shelf.ids == ()
    assert isinstance(next(painting), Start)
    painting.close()
    assert isinstance(next(paint_messages(studio, lambda: WISH)), Start)


def test_a_file_of_a_forgotten_run_tells_of_its_painting(studio: Studio) -> None:
    *waits, file = file_messages(studio, WISH, STRIP, clock=iter(range(1000)).__next__)
    assert isinstance(waits[0], Waiting)
    assert waits[0].words == "loading the model"
    steps = [w.progress.step for w in waits if isinstance(w, Waiting) and w.progress]
    assert steps == [*range(7)]
    assert isinstance(file, Download)
    assert file.name == "tiny-ddim-6-seed-4-strip.png"
    (again,) = file_messages(studio, WISH, GIF)
    assert isinstance(again, Download)


def test_a_file_shows_the_view_that_is_looked_at(studio: Studio) -> None:
    results = studio.painter.films.pictures(WISH)
    seen = results[1].seen("x_0_hat")
    assert all(
        np.array_equal(picture, moment.x_0_hat[1])
        for picture, moment in zip(seen[:-1], results[1].film[:-1], strict=True)
    )
    assert np.array_equal(seen[-1], results[1].pixels)
    for wish in (STRIP, GIF):
        files = [download(results, wish.model_copy(update={"view": view})) for view in VIEWS[:2]]
        assert files[0].src != files[1].src
        assert [file.name.partition("-expected")[1] for file in files] == ["", "-expected"]


def test_a_zip_has_every_picture_with_its_recipe(studio: Studio) -> None:
    results = studio.painter.films.pictures(WISH)
    file = download(results, STRIP.model_copy(update={"action": "zip"}))
    assert file.name == "tiny-ddim-6-seed-3-and-1-more.zip"
    kind, _, data = file.src.partition(";base64,")
    assert kind == "data:application/zip"
    with ZipFile(io.BytesIO(base64.b64decode(data))) as pictures:
        recipes = [read_recipe(pictures.read(name)) for name in pictures.namelist()]
    assert recipes == [result.request for result in results]


def test_a_file_is_given_up_with_its_stream(studio: Studio) -> None:
    painting = file_messages(studio, WISH, GIF)
    assert [type(next(painting)) for _ in range(2)] == [Waiting, Waiting]
    painting.close()
    assert studio.painter.films.remembered(studio.painter.complete(WISH).request) is None


def test_a_file_takes_no_more_work_than_a_painting_may(studio: Studio) -> None:
    more = WISH.model_copy(update={"steps": 1000})
    *_, failure = file_messages(studio, more, GIF)
    assert isinstance(failure, Failure)
    assert "more than this open studio computes" in failure.message


def test_a_run_loads_and_checks_its_model_once(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noted(what: str, do: Callable[..., object]) -> Callable[..., object]:
        def noting(*arguments: object) -> object:
            done.append(what)
            return do(*arguments)

        return noting

    monkeypatch.setattr(studio.models, "load", noted("load", studio.models.load))
    monkeypatch.setattr(painter, "_check", noted("check", painter._check))
    assert isinstance([*paint_messages(studio, lambda: WISH)][-1], End)
    assert done == ["check", "load"]

    source = PictureSource.of(Image.new("RGB", (16, 16), "green"))
    denoising = Denoising(run=Recipe(model="tiny", steps=4), source=source, t=500)
    mixing = Mixing(run=denoising.run, first=source, second=source, t=500, mix=0.5)
    for told in (
        tell(studio.noise_lab.films, lambda: denoising),
        tell(studio.mix_lab.films, lambda: mixing),
    ):
        done.clear()
        *_, (last, _) = told
        assert isinstance(last, End)
        assert done == ["check", "load"]


def test_copies_are_looked_for_among_the_small_pictures(studio: Studio) -> None:
    large = WISH.model_copy(update={"size": 64, "stage_steps": 2, "picture": 0})
    asked: list[Pixels] = []

    def nearest(_: LoadedModel, pixels: Pixels) -> list[str]:
        asked.append(pixels)
        return ["one", "another"]

    films = studio.painter.films
    *_, end = film_messages(films, lambda: films.complete(large), nearest=nearest)
    assert isinstance(end, End)
    assert [picture.nearest for picture in end.pictures] == ["one", "another"]
    small = films.pictures(films.complete(large.small))
    assert np.array_equal(asked[0], np.stack([result.pixels for result in small]))


@pytest.mark.parametrize("steps", [3, 300])
def test_a_run_whose_beginning_is_remembered_tells_all_its_frames(
    model_root: Path, tmp_path: Path, steps: int
) -> None:
    settings = Settings(models_dir=model_root, data_dir=tmp_path, device="cpu", threads=1)
    studio = Studio(settings)
    small = Recipe(model="tiny", steps=steps, seed=3)
    large = small.model_copy(update={"size": 64, "stage_steps": 3})
    studio.painter.films.result(studio.painter.complete(small))
    start, *told = paint_messages(studio, lambda: large, clock=lambda: 0.0)
    messages = told if isinstance(start, Start) else told[1:]
    indices = [
        frame.i for message in messages if isinstance(message, Frames) for frame in message.frames
    ]
    assert indices[-4:] == [steps + 1, steps + 2, steps + 3, steps + 4]
    assert len(indices) == len(set(indices)) == min(steps + 1, 250) + 4
    assert isinstance(messages[-1], End)
