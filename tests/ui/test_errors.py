"""What goes wrong is said so that a person can act on it."""

import errno
import logging
import sqlite3
from collections.abc import Callable

import gradio as gr
import pytest

from app.cli.errors import errors_to_shell
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


def full_file() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_database() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE notes (text)")
    database.execute("PRAGMA max_page_count = 2")
    try:
        database.execute("INSERT INTO notes VALUES (zeroblob(100000))")
    except sqlite3.OperationalError as error:
        raise RuntimeError("what wraps it") from error
    finally:
        database.close()


@pytest.mark.parametrize("fill", [full_file, full_database])
def test_a_full_disk_is_said(fill: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((OSError, RuntimeError)) as caught:
        fill()
    assert str(explained(caught.value)) == "The disk is full. Make room on it, then try again."
    with pytest.raises(SystemExit), errors_to_shell():
        fill()
    assert capsys.readouterr().err.startswith("The disk is full.\n")
