"""Components of numbers that refuse a value by their label, and round none."""

from typing import Any

import gradio as gr

from app.documents import CHANGE
from app.errors import RecipeError
from app.fields import whole
from app.ui.components.instrument import QuietMeta
from app.ui.errors import page_error


class Number(gr.Number, metaclass=QuietMeta):
    """A gr.Number; Gradio's rounds 1.5 to 2, and names no field where it refuses."""

    is_template = True  # The browser knows it by Gradio's name.

    def preprocess(self, payload: float | None) -> float | int | None:
        """Return the number, or None where the field may be empty, as one that began so may.

        Raises:
            gr.Error: If it is out of range, or not whole where `precision` is 0.
        """
        optional = payload is None and self.value is None
        return None if optional else _checked(self, payload, self.precision == 0)


class Slider(gr.Slider, metaclass=QuietMeta):
    """A gr.Slider, whose number field refuses as a Number does."""

    is_template = True

    def preprocess(self, payload: float) -> float:
        """Return the number.

        Raises:
            gr.Error: If it is out of range, or not whole where the step is.
        """
        number: float = _checked(self, payload, float(self.step).is_integer())
        return number


def _checked(field: Number | Slider, value: Any, is_whole: bool) -> float:
    least, largest, value = field.minimum, field.maximum, whole(value)
    if value is None:
        raise page_error(RecipeError(f"{field.label} is empty.", "Write a number there."))
    if isinstance(value, bool) or not isinstance(value, int | float):
        bound = "a number"
    elif is_whole and not isinstance(value, int):
        bound = "a whole number"
    elif least is not None and value < least:
        bound = f"at least {whole(least)}"
    elif largest is not None and value > largest:
        bound = f"at most {whole(largest)}"
    else:
        return value
    told = f"{field.label} is {value}, but must be {bound}."
    raise page_error(RecipeError(told, CHANGE))
