"""What goes wrong is said so that a person can act on it."""

import logging

import gradio as gr
import pytest

from app.errors import RecipeError
from app.ui.errors import explained


def test_a_fault_for_a_person_is_said_as_it_is() -> None:
    error = RecipeError("No steps.", "Choose some.")
    assert explained(error) is error


def test_what_zero_gpu_says_reaches_the_person_without_its_markup() -> None:
    words = 'You have used it up. <a style="color: red" href="x">Wait</a> 3 h'
    told = explained(gr.Error(words, title="ZeroGPU quota exceeded"))
    assert told.message == "ZeroGPU quota exceeded: You have used it up. Wait 3 h."
    assert told.hint


def test_what_nobody_foresaw_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        told = explained(KeyError("inside"))
    assert "inside" not in str(told)
    assert "inside" in caplog.text
