"""Numbers that refuse a value by their label."""

from collections.abc import Iterator

import gradio as gr
import pytest

from app.painting.recipe import Recipe
from app.ui.components.numbers import Number, Slider
from app.ui.components.recipe_controls import control


@pytest.fixture(autouse=True)
def blocks() -> Iterator[None]:
    with gr.Blocks():
        yield


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("seed", 1.5, "seed is 1.5, but must be a whole number."),
        ("seed", -1, "seed is -1, but must be at least 0."),
        ("seed", 2**32, "seed is 4294967296, but must be at most 4294967295."),
        ("seed", None, "seed is empty."),
        ("seed", "42", "seed is 42, but must be a number."),
        ("steps", 2.5, "steps is 2.5, but must be a whole number."),
        ("steps", 1001, "steps is 1001, but must be at most 1000."),
        ("guidance_scale", 0.5, "guidance is 0.5, but must be at least 1."),
    ],
)
def test_a_refusal_names_the_pages_field(name: str, value: float | str | None, says: str) -> None:
    with pytest.raises(gr.Error) as refused:
        control(Recipe, name).preprocess(value)
    assert says in refused.value.message


def test_what_is_in_range_is_left_as_it_is() -> None:
    assert Number(42, precision=0, minimum=0).preprocess(7.0) == 7
    assert Number(0.5, minimum=0).preprocess(0.25) == 0.25
    assert Number(None, label="the held-out share").preprocess(None) is None
    assert Slider(0, 1, value=0, step=0.05).preprocess(0.35) == 0.35
