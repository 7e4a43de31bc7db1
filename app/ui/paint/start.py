"""What a painting starts from: noise, a picture, a sketch, or a part of a picture to paint anew."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, get_args

import gradio as gr
import numpy as np
from PIL import Image
from pydantic import Field

from app.diffusion.cascade import RATIO
from app.diffusion.schedule import MAX_T
from app.errors import PictureError
from app.images.encoding import image_of
from app.images.reader import READERS
from app.images.reading import own_picture, square
from app.painting.canvas import (
    UPLOAD_SIDE,
    decoded,
    encoded,
    encoded_mask,
    held,
    side_of,
    surrounded,
)
from app.painting.examples import load_examples
from app.painting.recipe import MAX_SOURCE, Recipe
from app.settings import ASSETS
from app.studio import Studio
from app.ui.callers import finish
from app.ui.components.films import run_key
from app.ui.components.instrument import LabComponent
from app.ui.components.layout import Header, light, quiet, streaming
from app.ui.components.messages import Message
from app.ui.components.numbers import Slider
from app.ui.components.picker import shown_in_paint
from app.ui.components.player import FromPage
from app.ui.components.recipe_controls import following
from app.ui.components.upload import UploadButton
from app.ui.errors import errors_to_page

Mode = Literal["noise", "picture", "sketch", "part"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

COLOURS: Final = 16
"""The colours of a sketch's palette."""

SKETCH_SIDE: Final = 256

LEAST, DEFAULT, MOST = 0.2, 0.5, 0.8
"""The share of T from which a run starts: nearly the picture as it is, to nearly the model's."""

CAREFUL: Final = 3
"""How often each stretch is painted where it is to be joined with care."""


@dataclass(frozen=True)
class BoardMessage(Message):
    """A sheet to draw on.

    Attributes:
        mode: "picture" only shows it, "sketch" is drawn on paper, "part" is a mask over it.
        src: The picture as a data-URI; empty for none.
        side: The side of the sheet in pixels.
        palette: The colours of a sketch, from dark to light.
        drawn: A sketch or a mask that is drawn already, likewise a data-URI.
    """

    kind: ClassVar[str] = "board"
    mode: str
    src: str
    side: int
    palette: tuple[str, ...]
    drawn: str = ""


class Board(LabComponent):
    """The sheet; an event that lists it as an input gets what is drawn, a PNG in base64."""

    def __init__(self, value: Message | str | None = None, **kwargs: Any) -> None:
        super().__init__("board", value, tab="paint", label="the sheet to draw on", **kwargs)

    def preprocess(self, payload: str | None) -> str | None:  # type: ignore[override]
        """Return the drawing; None where nothing was drawn.

        Raises:
            gr.Error: If the page sent anything else.
        """
        if not payload:
            return None
        try:
            told = json.loads(payload)
            if told["kind"] != "drawn":
                return None
            drawn = told["png"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise gr.Error("The page sent a drawing that can't be read. Reload it.") from error
        if not isinstance(drawn, str) or len(drawn) > MAX_SOURCE:
            raise gr.Error("The drawing is too large. Clear it, and draw again.")
        return drawn


@dataclass(frozen=True)
class StartPicture:
    """A picture to start from, as a recipe's text, and the key of the run that painted it."""

    text: str
    run: str = ""

    @property
    def image(self) -> Image.Image:
        """The picture."""
        return decoded(self.text)


class KeptStart(FromPage):
    """What a browser kept of the controls of what a painting starts from.

    Attributes:
        mode: What it starts from.
        picture: The picture, as a recipe's text; empty for none.
        drawn: The sketch or the mask, likewise.
        t: The t to which it is noised; None where the control was never set.
        careful: Whether a part is joined with care.
    """

    mode: Mode = "noise"
    picture: str = Field(default="", max_length=MAX_SOURCE)
    drawn: str = Field(default="", max_length=MAX_SOURCE)
    t: int | None = Field(default=None, ge=1, le=MAX_T)
    careful: bool = False


@cache
def palette() -> tuple[str, ...]:
    """Measure the colours of the finished paintings that the page shows, from dark to light."""
    pictures = [own_picture(it.path).resize((64, 64)) for it in load_examples(ASSETS / "showcase")]
    if not pictures:
        return ("#22303c", "#2f5d9b", "#4f8a74", "#c98f2b", "#c2533b", "#faf7f0")
    sheet = image_of(np.concatenate([np.asarray(picture) for picture in pictures]))
    found = sheet.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=COLOURS).convert("RGB")
    colours = {colour for _, colour in found.getcolors() or () if isinstance(colour, tuple)}
    by_light = sorted(colours, key=lambda rgb: 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2])
    return tuple("#{:02x}{:02x}{:02x}".format(*colour) for colour in by_light)


class StartControls:
    """The controls of what a painting starts from, and their events.

    Attributes:
        inputs: What `fields` and `run` take the values of.
        outputs: What `updates` sets.
    """

    def __init__(self, studio: Studio, header: Header) -> None:
        self._studio = studio
        self._examples = load_examples(ASSETS / "showcase")
        T = studio.models.describe(studio.settings.default_model).num_train_timesteps
        self.mode = gr.Radio(
            [
                ("noise", "noise"),
                ("a picture", "picture"),
                ("a sketch", "sketch"),
                ("a part", "part"),
            ],
            value="noise",
            label="start from",
            elem_classes="studio-segments studio-start",
        )
        with gr.Row(elem_classes="lab-sources", visible=False) as self.row:
            upload = UploadButton("Upload", file_types=["image"], size="sm", min_width=60)
            shown = gr.Button("The picture shown", size="sm", min_width=60)
            self.around = gr.Button("More around it", size="sm", min_width=60, visible=False)
        with gr.Column(visible=False) as self.sheet:
            self.board = Board(_board("picture", None))
        self.t = Slider(
            round(LEAST * T),
            round(MOST * T),
            value=round(DEFAULT * T),
            step=1,
            label="t: my picture to the model's",
            visible=False,
        )
        self.careful = gr.Checkbox(
            label="careful",
            info=f"joins the part better to the rest: each stretch of the way {CAREFUL} times",
            visible=False,
        )
        self.picture = gr.State(None)
        self._seen = gr.Textbox(visible=False, label="what Paint shows")
        self.inputs = [self.mode, self.picture, self.board, self.t, self.careful]
        self._look = [self.row, self.sheet, self.t, self.careful, self.around]
        self.outputs = [*self._look, self.mode, self.picture, self.board]
        self._wire(header, upload, shown)

    def fields(self, wish: Mapping[str, Any], *values: Any) -> dict[str, Any]:
        """Return the recipe's fields that the `values` of the inputs are, beside others' `wish`.

        Raises:
            PictureError: If there is no picture yet, nothing drawn, or a mask can't be used.
        """
        mode, picture, drawn, t, careful = values
        if mode == "noise":
            return {}
        info = self._studio.models.describe(wish["model"])
        if mode == "sketch":
            if drawn is None:
                raise PictureError("The sketch is blank.", "Draw something first.")
            sketch = square(decoded(drawn), side_of(info))
            return held(sketch, None, info, sketch=True) | {"start_t": int(t)}
        if picture is None:
            raise PictureError(
                "There is no picture to start from.", "Upload one, or take the one that is shown."
            )
        image = picture.image
        if mode == "picture":
            return held(square(image, side_of(info)), None, info) | {"start_t": int(t)}
        mask = Image.new("L", image.size) if drawn is None else decoded(drawn).convert("L")
        if not (wish.get("size") and image.width == RATIO * info.size):
            image, mask = (square(it, side_of(info)) for it in (image, mask))
        return held(image, mask, info) | {"resampling": CAREFUL if careful else 1}

    def run(self, *values: Any) -> str:
        """Return the key of the run that painted the picture which the inputs' `values` name."""
        mode, picture, *_ = values
        return picture.run if picture and mode in {"picture", "part"} else ""

    def updates(self, recipe: Recipe) -> list[Any]:
        """Return the updates of the outputs that set them to what `recipe` starts from."""
        root = recipe.root
        if root.source is None:
            return [*_look("noise"), "noise", gr.skip(), gr.skip()]
        mode: Mode = "part" if root.mask else "picture"
        t, picture = root.start_t, StartPicture(root.source)
        return _set(mode, picture, root.mask or "", t, root.resampling > 1)

    def restored(self, told: KeptStart) -> list[Any]:
        """Return the updates of the outputs that set them to what a browser kept of them.

        Raises:
            PictureError: If what it kept is no picture.
        """
        for text in filter(None, (told.picture, told.drawn)):
            decoded(text)
        picture = StartPicture(told.picture) if told.picture else None
        return _set(told.mode, picture, told.drawn, told.t, told.careful)

    def add_ways_in(self, folded: gr.Accordion) -> None:
        """Add what the player and a dropped photo set the controls by, which are `folded` away.

        What is folded away is not on the page, so this stands outside.
        """
        part = gr.Button("this part again", visible="hidden", elem_id="part-again")
        with gr.Row(elem_id="start-photo"):
            photo = UploadButton("start from a photo", file_types=["image"])

        def again(seen: str) -> list[Any]:
            return [*_set("part", self._painted(seen)), gr.update(open=True)]

        def begun(path: Path) -> list[Any]:
            return [*_set("picture", _upload(path)), gr.update(open=True)]

        outputs, how = [*self.outputs, folded], streaming()
        js = "() => pleinAir.painted()"
        part.click(errors_to_page(again), self._seen, outputs, js=js, **how)
        photo.upload(errors_to_page(begun), photo, outputs, **how)

    def _wire(self, header: Header, upload: UploadButton, shown: gr.Button) -> None:
        def chosen(mode: Mode, picture: StartPicture | None, seen: str) -> list[Any]:
            if picture is None and mode in {"picture", "part"}:
                picture = self._painted(seen)
            return _set(mode, picture)

        def uploaded(mode: Mode, path: Path) -> list[Any]:
            return [picture := _upload(path), _board(mode, picture)]

        def taken(mode: Mode, seen: str) -> list[Any]:
            return [picture := self._painted(seen), _board(mode, picture)]

        def surround(picture: StartPicture | None, seen: str) -> list[Any]:
            inner = picture or self._painted(seen)
            canvas, mask = surrounded(inner.image)
            picture = StartPicture(encoded(canvas), inner.run)
            # Plainly painted, a rim is seen to be one.
            return [picture, _board("part", picture, encoded_mask(mask)), True]

        def model_changed(name: str, t: float, before: int) -> list[Any]:
            T = self._studio.models.describe(name).num_train_timesteps
            least, most = round(LEAST * T), round(MOST * T)
            return [gr.update(value=round(t * T / before), minimum=least, maximum=most), T]

        seen, told = self._seen, [self.picture, self.board]
        kept: dict[str, Any] = {"mode": self.mode, "t": self.t, "careful": self.careful}
        for name, control in kept.items():
            js = f"({name}) => pleinAir.keepStart({{ {name} }})"
            control.change(None, control, None, js=js)
        info = self._studio.models.describe(self._studio.settings.default_model)
        length = gr.State(info.num_train_timesteps)
        self.mode.input(
            errors_to_page(chosen),
            [self.mode, self.picture, seen],
            self.outputs,
            js="(mode, picture) => [mode, picture, pleinAir.painted()]",
            **streaming(),
        )
        upload.upload(errors_to_page(uploaded), [self.mode, upload], told, **quiet())
        shown.click(
            errors_to_page(taken),
            [self.mode, seen],
            told,
            js="(mode) => [mode, pleinAir.painted()]",
            **streaming(),
        )
        self.around.click(
            errors_to_page(surround),
            [self.picture, seen],
            [*told, self.careful],
            js="(picture) => [picture, pleinAir.painted()]",
            **streaming(),
        )
        header.model.change(
            following(model_changed), [header.model, self.t, length], [self.t, length], **light()
        )

    def _painted(self, seen: str) -> StartPicture:
        """Return the picture that Paint shows, as large as it was painted."""
        recipe = shown_in_paint(seen)
        stored = next((each for each in self._examples if each.recipe == recipe), None)
        if stored is not None:
            image = own_picture(stored.path)
        else:
            painter = self._studio.painter
            results = finish(painter.films.picture_steps(painter.complete(recipe)))
            image = image_of(results[recipe.picture].pixels)
        return StartPicture(encoded(image), run_key(json.loads(seen)["run"]))


def _upload(path: Path) -> StartPicture:
    (image,) = READERS.squares(path, [(UPLOAD_SIDE, "crop")])
    return StartPicture(encoded(image))


def _set(
    mode: Mode,
    picture: StartPicture | None,
    drawn: str = "",
    t: int | None = None,
    careful: bool | None = None,
) -> list[Any]:
    """Return the updates of the outputs that set them; t and careful stay where none is given."""
    row, sheet, start, joined, around = _look(mode)
    if t and start["visible"]:
        start |= {"value": t}
    if careful is not None:
        joined |= {"value": careful}
    return [row, sheet, start, joined, around, mode, picture, _board(mode, picture, drawn)]


def _look(mode: Mode) -> list[dict[str, Any]]:
    """Return the updates that show what a `mode` has: row, sheet, t, careful, room around it."""
    has = (mode in {"picture", "part"}, mode != "noise", mode in {"picture", "sketch"})
    return [gr.update(visible=it) for it in (*has, mode == "part", mode == "part")]


def _board(mode: Mode, picture: StartPicture | None, drawn: str = "") -> BoardMessage:
    uri = "data:image/png;base64,{}".format
    over = uri(drawn) if drawn else ""
    if mode == "sketch" or picture is None:
        return BoardMessage(mode, "", SKETCH_SIDE, palette(), over if mode == "sketch" else "")
    return BoardMessage(mode, uri(picture.text), picture.image.width, palette(), over)
