"""Choosing the pictures that a laboratory works on: painted, uploaded, or just seen in Paint."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal
from uuid import uuid4

import gradio as gr
import numpy as np
from gradio.events import Dependency
from PIL import Image

from app.errors import PictureError, StudioError
from app.service.laboratory.experiment import UPLOAD_SIDE, Source
from app.service.recipe import Recipe
from app.service.results import results
from app.service.showcase import Example, load_examples
from app.service.studio import Studio
from app.service.uploads import Fit, read_picture, square
from app.settings import ASSETS
from app.ui.faults import said
from app.ui.instrument import LabInstrument
from app.ui.lab_messages import Pictures, Thumb, jpeg_uri
from app.ui.stream import recipe_of

Mode = Literal["one", "pair", "many"]

THUMB_SIDE: Final = 64
MAX_ADDED: Final = 8
MAX_CHOSEN: Final = 3


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture to choose, cropped and squashed to a square; its key is no other's."""

    name: str
    crop: Image.Image
    squash: Image.Image
    key: str = field(default_factory=lambda: uuid4().hex)

    def fitted(self, fit: Fit) -> Image.Image:
        """It, squared as asked."""
        return self.crop if fit == "crop" else self.squash


@dataclass(frozen=True, eq=False)
class Choice:
    """What one person has chosen.

    Attributes:
        mode: One picture, a pair (A, B), or many.
        shelf: All pictures there are to choose.
        chosen: Those that are, by their place on the shelf.
        slot: Of a pair, which one the next picture replaces.
        fit: How uploads become squares.
        fixed: How many of the shelf, its first, are always there.
        uploads: How many pictures were uploaded so far.
    """

    mode: Mode
    shelf: tuple[Picture, ...]
    chosen: tuple[int, ...]
    slot: int = 0
    fit: Fit = "crop"
    fixed: int = 1
    uploads: int = 0

    def pick(self, picture: int) -> "Choice":
        """Choose one more, or another, or one less."""
        match self.mode:
            case "one":
                return replace(self, chosen=(picture,))
            case "pair":
                pair = list(self.chosen)
                pair[self.slot] = picture
                return replace(self, chosen=tuple(pair), slot=1 - self.slot)
            case "many" if picture in self.chosen:
                rest = tuple(i for i in self.chosen if i != picture)
                return replace(self, chosen=rest or self.chosen)
            case _:
                return replace(self, chosen=(*self.chosen, picture)[-MAX_CHOSEN:])

    def add(self, picture: Picture) -> "Choice":
        """Put a picture on the shelf and choose it; past the fixed ones there is some room."""
        if len(self.shelf) < self.fixed + MAX_ADDED:
            return replace(self, shelf=(*self.shelf, picture)).pick(len(self.shelf))
        # The oldest makes room of those that aren't chosen, and fewer are chosen than added.
        added = range(self.fixed, len(self.shelf))
        oldest = next(i for i in added if i not in self.chosen)
        shelf = (*self.shelf[:oldest], *self.shelf[oldest + 1 :], picture)
        chosen = tuple(i - (i > oldest) for i in self.chosen)
        return replace(self, shelf=shelf, chosen=chosen).pick(len(shelf) - 1)

    def restored(self, images: Sequence[Image.Image], names: Sequence[str] = ()) -> "Choice":
        """The same shelf with `images` on it, and those chosen."""
        choice = replace(self, slot=0)
        for place, image in enumerate(images):
            name = names[place] if place < len(names) else "from a PNG"
            choice = choice.add(Picture(name, image, image))
        if self.mode == "many" and images:
            return replace(choice, chosen=choice.chosen[-len(images) :])
        return choice

    @property
    def key(self) -> str:
        """What is chosen, and how it is squared, in a word that no other choice has."""
        return "-".join((self.fit, *(self.shelf[i].key for i in self.chosen)))

    @property
    def names(self) -> tuple[str, ...]:
        """What the chosen ones are called."""
        return tuple(self.shelf[i].name for i in self.chosen)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The chosen ones, as experiments take them."""
        return tuple(Source.of(self.shelf[i].fitted(self.fit)) for i in self.chosen)

    def message(self) -> Pictures:
        """What the picker shows."""
        thumbs = tuple(Thumb(_thumb(p.fitted(self.fit)), p.name) for p in self.shelf)
        return Pictures(self.mode, thumbs, self.chosen, self.key, self.slot)


class Picker:
    """The picker's components and what becomes of a click; `state` holds a Choice."""

    def __init__(self, studio: Studio, tab: str, mode: Mode, network: dict[str, Any]) -> None:
        self._studio = studio
        self._examples = load_examples(ASSETS / "showcase")
        shelf = tuple(_of_example(example) for example in self._examples) or (_plain(),)
        chosen = (0,) if mode != "pair" else (0, len(shelf) // 2)
        first = Choice(mode, shelf, chosen, fixed=len(shelf))
        self.state = gr.State(first)
        self.instrument = LabInstrument(
            "picker", first.message(), tab=tab, label="pictures to choose"
        )
        with gr.Row(elem_classes="lab-sources"):
            upload = gr.UploadButton(
                "Upload", file_types=["image"], type="binary", size="sm", min_width=60
            )
            painted = gr.Button("From Paint", size="sm", min_width=60)
            fit = gr.Radio(
                ["crop", "squash"],
                value="crop",
                label="how an upload becomes a square",
                show_label=False,
                elem_classes="studio-segments",
                min_width=60,
            )
        seen = gr.Textbox(visible=False, label="what Paint shows")
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        both = [self.state, self.instrument]
        # Each click counts; Gradio would drop one that comes before the last one's event is over.
        each: dict[str, Any] = quiet | {"trigger_mode": "multiple", "concurrency_limit": 1}
        self._doings: list[Callable[[Dependency], None]] = []
        self._events: list[Dependency] = [
            self.instrument.select(said(self._picked), self.state, both, **each),
            upload.upload(said(self._uploaded), [self.state, upload], both, **quiet),
            fit.change(said(self._fitted), [self.state, fit], both, **quiet),
            painted.click(
                said(self._painted),
                [self.state, seen],
                both,
                js="(state) => [state, pleinAir.painted()]",
                **network,
            ),
        ]

    def changed(
        self, do: Callable[..., Any], inputs: Sequence[Any], outputs: Any, **how: Any
    ) -> None:
        """Do something after every change; of several at once, at least after the last."""
        doing = partial(_after, do, inputs, outputs, how)
        self._doings.append(doing)
        for event in self._events:
            doing(event)

    def follow(self, event: Dependency) -> None:
        """Take what `event` does for a change: it has the picker's state among its outputs."""
        self._events.append(event)
        for doing in self._doings:
            doing(event)

    def _picked(self, choice: Choice, event: gr.EventData) -> tuple[Choice, Pictures]:
        asked = event._data if isinstance(event._data, dict) else {}
        picture, slot = asked.get("picture"), asked.get("slot")
        if type(picture) is int and 0 <= picture < len(choice.shelf):
            return _shown(choice.pick(picture))
        if type(slot) is int and slot in {0, 1}:
            return _shown(replace(choice, slot=slot))
        raise StudioError("The page sent a choice that can't be read.", "Reload the page.")

    def _uploaded(self, choice: Choice, data: bytes) -> tuple[Choice, Pictures]:
        image = read_picture(data)
        number = choice.uploads + 1
        picture = Picture(
            f"upload {number}",
            square(image, UPLOAD_SIDE, "crop"),
            square(image, UPLOAD_SIDE, "squash"),
        )
        return _shown(replace(choice.add(picture), uploads=number))

    def _fitted(self, choice: Choice, fit: Fit) -> tuple[Choice, Pictures]:
        return _shown(replace(choice, fit=fit))

    def _painted(self, choice: Choice, seen: str) -> tuple[Choice, Pictures]:
        try:
            asked = json.loads(seen or "null")
            run, place = str(asked["run"]), int(asked["picture"])
        except (ValueError, TypeError, KeyError) as error:
            raise PictureError("Paint shows no picture yet.", "Paint one first.") from error
        recipe = recipe_of(run)
        if not 0 <= place < recipe.pictures:
            raise PictureError("That picture isn't in the run.", "Choose one in Paint.")
        stored = next((e for e in self._examples if e.recipe == recipe), None)
        image = _image(stored.png) if stored is not None else self._paint(recipe.about(place))
        name = f"painted, seed {recipe.seed + place}"
        return _shown(choice.add(Picture(name, image, image)))

    def _paint(self, recipe: Recipe) -> Image.Image:
        painter = self._studio.painter
        painted = results(painter, painter.complete(recipe))[recipe.picture]
        return Image.fromarray(np.asarray(painted.pixels))


def _after(
    do: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Any,
    how: dict[str, Any],
    event: Dependency,
) -> None:
    event.success(do, inputs, outputs, trigger_mode="always_last", **how)


def _shown(choice: Choice) -> tuple[Choice, Pictures]:
    return choice, choice.message()


def _of_example(example: Example) -> Picture:
    image = _image(example.png)
    return Picture(f"seed {example.recipe.seed + example.recipe.picture}", image, image)


def _plain() -> Picture:
    """Two colours, where no painting is at hand."""
    pixels = np.full((THUMB_SIDE, THUMB_SIDE, 3), (120, 160, 190), dtype=np.uint8)
    pixels[THUMB_SIDE // 2 :] = (110, 130, 80)
    image = Image.fromarray(pixels)
    return Picture("two colours", image, image)


def _image(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB")


def _thumb(image: Image.Image) -> str:
    return jpeg_uri(np.asarray(image.resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.LANCZOS)))
