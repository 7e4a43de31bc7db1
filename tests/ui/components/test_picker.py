"""What becomes of the pictures to choose when more are added than there is room for."""

import json
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from app.errors import LimitError
from app.painting.recipe import Recipe
from app.settings import Settings
from app.studio import Studio
from app.ui.components.films import run_name
from app.ui.components.picker import MAX_ADDED, Choice, Mode, Picker, Picture

FIXED = 2


def picture(name: str) -> Picture:
    image = Image.new("RGB", (4, 4))
    return Picture(name, image, image)


def full(mode: Mode) -> Choice:
    """A shelf without room: two fixed pictures and eight that were added."""
    names = [*(f"seed {i}" for i in range(FIXED)), *(f"upload {i}" for i in range(MAX_ADDED))]
    chosen = (0,) if mode == "one" else (0, 1)
    return Choice(mode, tuple(map(picture, names)), chosen, fixed=FIXED)


def test_the_ninth_upload_takes_no_chosen_pictures_place() -> None:
    choice = replace(full("many"), chosen=(2, 3))
    before = choice.names
    choice = choice.add(picture("ninth"))
    assert choice.names == (*before, "ninth")
    assert len(choice.shelf) == FIXED + MAX_ADDED


@pytest.mark.parametrize("mode", ["pair", "many"])
def test_what_is_chosen_stays_however_many_pictures_are_added(mode: Mode) -> None:
    choice = full(mode)
    for number in range(2 * MAX_ADDED):
        kept = choice.names[choice.slot - 1] if mode == "pair" else choice.names[-1]
        choice = choice.add(picture(f"new {number}"))
        assert {kept, f"new {number}"} <= set(choice.names)
        assert len(set(choice.chosen)) == len(choice.chosen)


def test_what_paint_is_said_to_show_keeps_within_the_budget(model_root: Path) -> None:
    studio = Studio(Settings(models_dir=model_root, default_model="tiny", picture_steps=10))
    with gr.Blocks():
        picker = Picker(studio, "noise", "one")
    run = run_name(Recipe(model="tiny", steps=200, pictures=16))
    with pytest.raises(LimitError):
        picker._painted(full("one"), json.dumps({"run": run, "picture": 0}))


def test_a_choices_key_tells_it_from_every_other() -> None:
    choice = full("pair")
    others = [choice.pick(3), choice.add(picture("upload 0")), choice.pick(1).pick(0)]
    keys = {other.key for other in (choice, *others)}
    assert len(keys) == 4
    assert choice.pick(3).key == choice.pick(3).key
