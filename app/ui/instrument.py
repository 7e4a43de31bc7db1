"""Components whose life is in the browser: a value goes there, and events come back."""

import json
from abc import ABCMeta
from typing import Any, Final

import gradio as gr
from gradio.component_meta import ComponentMeta, updateable

from app.ui.messages import Message

_ROOT: Final = '<div class="lab-root"></div>'


class _QuietMeta(ComponentMeta):
    """Gradio's metaclass, but for the .pyi that it would write beside this file at import."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> type:
        attrs["__init__"] = updateable(attrs["__init__"])
        return ABCMeta.__new__(cls, name, bases, attrs)


class Instrument(gr.HTML, metaclass=_QuietMeta):
    """A gr.HTML fed one Message at a time; it is never an event's input."""

    def __init__(self, value: Message | str | None = None, **kwargs: Any) -> None:
        super().__init__(value, apply_default_css=False, **kwargs)

    def postprocess(self, value: Message | str | None) -> str | None:
        """A message as its JSON."""
        return value.to_json() if isinstance(value, Message) else value

    def preprocess(self, payload: str | None) -> None:
        """Nothing: its messages would all be uploaded again."""

    @property
    def skip_api(self) -> bool:
        """Its traffic is no part of the public API."""
        return True


class LabInstrument(Instrument):
    """An instrument that `pleinAir[mount]` of assets/lab_*.js draws.

    Args:
        mount: That function's name.
        value: Its first message.
        tab: Which tab it stands in; instruments of one tab share t and the picture.
        label: What a screen reader calls it.
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
        super().__init__(
            value,
            label=label,
            html_template=_ROOT,
            js_on_load=_mounted(mount, tab, label),
            elem_classes=["plein-air-lab", f"plein-air-{mount}", *elem_classes.split()],
            **kwargs,
        )


class TimeSlider(gr.HTML, metaclass=_QuietMeta):
    """A slider over the paper's t, from noise (T, left) to the picture (0, right).

    Its value is "t/T". It moves what stands in its tab without asking the server; a new model's
    material brings its T, and leaves t where it is if that is no longer. An event that
    lists it as an input gets t, a whole number.
    """

    def __init__(self, t: int = 500, total: int = 1000, *, tab: str, **kwargs: Any) -> None:
        super().__init__(
            f"{t}/{total}",
            label="t",
            html_template=_ROOT,
            js_on_load=_mounted("time", tab, "t, from noise to picture"),
            apply_default_css=False,
            elem_classes=["plein-air-lab", "plein-air-time"],
            **kwargs,
        )

    def preprocess(self, payload: str | None) -> int:  # type: ignore[override]
        """The t at the slider.

        Raises:
            gr.Error: If the page sent anything else.
        """
        words = str(payload).split("/")
        if len(words) != 2 or not all(w.isdecimal() and len(w) <= 5 for w in words):
            raise gr.Error("The page sent a t that can't be read. Reload the page.")
        return int(words[0])

    def postprocess(self, value: str | None) -> str | None:
        """As it is."""
        return value

    @property
    def skip_api(self) -> bool:
        """It is no part of the public API."""
        return True


def time_value(t: int, total: int) -> str:
    """What sets a TimeSlider: its t, kept inside the new T."""
    return f"{min(t, total)}/{total}"


def _mounted(mount: str, tab: str, label: str) -> str:
    return (
        f"pleinAir.{mount}(element.querySelector('.lab-root'), "
        f"{{ trigger, props, watch, tab: {json.dumps(tab)}, label: {json.dumps(label)} }});"
    )
