"""What a player is told: of runs, and of files that are made of them."""

from pathlib import Path
from unittest.mock import ANY

import pytest

from app.service.recipe import Recipe
from app.service.studio import Studio
from app.settings import Settings
from app.ui.player import Download, Failure, Start, Waiting
from app.ui.stream import file_messages, paint_messages

WISH = Recipe(model="tiny", sampler="ddim", steps=6, seed=3, pictures=2, picture=1)


@pytest.fixture
def studio(model_root: Path, tmp_path: Path) -> Studio:
    return Studio(
        Settings(
            models_dir=model_root, data_dir=tmp_path, device="cpu", threads=1, picture_steps=100
        )
    )


def test_a_model_is_said_to_be_loaded_before_it_is(studio: Studio) -> None:
    painting = paint_messages(studio, lambda: WISH)
    assert next(painting) == Waiting("loading the model", token=ANY)
    assert studio.models.shelf.ids == ()
    assert isinstance(next(painting), Start)
    painting.close()
    assert isinstance(next(paint_messages(studio, lambda: WISH)), Start)


def test_a_file_of_a_forgotten_run_tells_of_its_painting(studio: Studio) -> None:
    *waits, file = file_messages(studio, WISH, "strip", clock=iter(range(1000)).__next__)
    assert isinstance(waits[0], Waiting)
    assert waits[0].words == "loading the model"
    steps = [w.progress.step for w in waits if isinstance(w, Waiting) and w.progress]
    assert steps == [*range(7)]
    assert isinstance(file, Download)
    assert file.name == "tiny-ddim-6-seed-4-strip.png"
    (again,) = file_messages(studio, WISH, "gif")
    assert isinstance(again, Download)


def test_a_file_is_given_up_with_its_stream(studio: Studio) -> None:
    painting = file_messages(studio, WISH, "gif")
    assert [type(next(painting)) for _ in range(2)] == [Waiting, Waiting]
    painting.close()
    assert studio.painter.remembered(studio.painter.complete(WISH)) is None


def test_a_file_takes_no_more_work_than_a_painting_may(studio: Studio) -> None:
    more = WISH.model_copy(update={"steps": 1000})
    *_, failure = file_messages(studio, more, "gif")
    assert isinstance(failure, Failure)
    assert "more than this open studio computes" in failure.message
