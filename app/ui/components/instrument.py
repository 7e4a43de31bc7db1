"""Components that live in the browser: a value goes there, and events come back."""

import json
from abc import ABCMeta
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta, updateable
from pydantic_core import to_json

from app.ui.components.messages import Message


class QuietMeta(ComponentMeta):
    """Gradio's metaclass, without the .pyi file that it would write beside this one at import."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> type:
        """Make the class `name`."""
        if "__init__" in attrs:
            attrs["__init__"] = updateable(attrs["__init__"])
        return ABCMeta.__new__(cls, name, bases, attrs)


def message_json(message: Message) -> str:
    """Write a message as JSON for the browser; numbers that aren't finite become null."""
    fields = {"kind": message.kind} | vars(message)
    return to_json(fields, inf_nan_mode="null").decode()


class BrowserComponent(gr.HTML, metaclass=QuietMeta):
    """A gr.HTML fed one Message at a time, and no event's input unless a subclass reads it."""

    def __init__(self, value: Message | str | None = None, **kwargs: Any) -> None:
        super().__init__(value, apply_default_css=False, **kwargs)

    def postprocess(self, value: Message | str | None) -> str | None:
        """Return a message as JSON, anything else as it is."""
        return message_json(value) if isinstance(value, Message) else value

    def preprocess(self, payload: str | None) -> None:
        """Take no input: the browser would have to upload every message again."""

    @property
    def skip_api(self) -> bool:
        """True: what goes to and fro is no part of the public API."""
        return True


class LabComponent(BrowserComponent):
    """An instrument that `pleinAir[mount]` of a script in assets/ draws.

    Args:
        mount: The function's name.
        value: The first message.
        tab: The tab that the instrument stands in; instruments of one tab share t and the picture.
        label: The name that a screen reader reads out.
    """

    def __init__(
        self,
        mount: str,
        value: Message | str | None = None,
        *,
        tab: str,
        label: str,
        elem_classes: str = "",
        **kwargs: Any,
    ) -> None:
        about = f"tab: {json.dumps(tab)}, label: {json.dumps(label)}"
        super().__init__(
            value,
            label=label,
            html_template='<div class="lab-root"></div>',
            js_on_load=f"pleinAir.{mount}(element.querySelector('.lab-root'), "
            f"{{ trigger, props, watch, {about} }});",
            elem_classes=["plein-air-lab", f"plein-air-{mount}", *elem_classes.split()],
            **kwargs,
        )


class TimeSlider(LabComponent):
    """A slider over the paper's t, from noise (T, left) to the picture (0, right).

    The slider's value is "t/T". Moving the slider changes its tab without asking the server. A new
    model's material brings the model's T, and leaves t as it is unless T is now less. An event that
    lists the slider as an input gets t, a whole number.
    """

    def __init__(self, t: int = 500, total: int = 1000, *, tab: str, **kwargs: Any) -> None:
        label = "t, from noise to picture"
        super().__init__("time", time_value(t, total), tab=tab, label=label, **kwargs)

    def preprocess(self, payload: str | None) -> int:  # type: ignore[override]
        """Read the t at the slider.

        Raises:
            gr.Error: If the page sent anything else.
        """
        words = str(payload).split("/")
        if len(words) != 2 or not all(w.isdecimal() and len(w) <= 5 for w in words):
            raise gr.Error("The page sent a t that can't be read. Reload the page.")
        return int(words[0])


def time_value(t: int, total: int) -> str:
    """Return the value that sets a TimeSlider to `t`, or to the new T where that is less."""
    return f"{min(t, total)}/{total}"
