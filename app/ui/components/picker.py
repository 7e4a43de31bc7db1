"""Choosing the pictures that a laboratory works on: painted, uploaded, or just seen in Paint."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal
from uuid import uuid4

import gradio as gr
import numpy as np
from gradio.events import Dependency
from PIL import Image

from app.errors import PictureError, StudioError
from app.images.encoding import image_of, jpeg_bytes, jpeg_uri
from app.images.reader import READERS
from app.images.reading import FITS, Fit, own_picture, square
from app.painting.canvas import UPLOAD_SIDE
from app.painting.examples import load_examples
from app.painting.recipe import Recipe
from app.painting.sources import PictureSource
from app.settings import ASSETS
from app.studio import Studio
from app.ui.callers import finish
from app.ui.components.films import recipe_of
from app.ui.components.instrument import LabComponent
from app.ui.components.layout import fit_control, light, quiet, streaming
from app.ui.components.messages import Message, Thumb
from app.ui.components.upload import UploadButton
from app.ui.errors import errors_to_page
from app.ui.served import served


@dataclass(frozen=True)
class PickerPictures(Message):
    """A picker's pictures and which are chosen: one, a pair (A, B), or many in their order.

    `key` names the choice; `slot` is the one of a pair that the next picture replaces.
    """

    kind: ClassVar[str] = "pictures"
    mode: str
    pictures: tuple[Thumb, ...]
    chosen: tuple[int, ...]
    key: str
    slot: int = 0


Mode = Literal["one", "pair", "many"]

THUMB_SIDE: Final = 64
MAX_ADDED: Final = 8
MAX_CHOSEN: Final = 3


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture to choose, cropped to a square, and squashed where that differs."""

    name: str
    crop: Image.Image
    squash: Image.Image | None = None
    key: str = field(default_factory=lambda: uuid4().hex)

    def fitted(self, fit: Fit) -> Image.Image:
        """Return the picture as a square, cropped or squashed as `fit` says."""
        return self.squash if fit == "squash" and self.squash else self.crop


@dataclass(frozen=True, eq=False)
class Choice:
    """One person's choice of pictures.

    Attributes:
        mode: One picture, a pair (A, B), or many.
        shelf: All pictures to choose from.
        chosen: The chosen pictures, by their place on the shelf.
        slot: Which picture of a pair the next one replaces.
        fit: How uploads become squares.
        fixed: How many pictures, the first on the shelf, are always there.
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
        """Choose one picture more, another picture, or one less, as the mode has it."""
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
        """Put a picture on the shelf and choose it; MAX_ADDED have room beside the fixed ones."""
        if len(self.shelf) < self.fixed + MAX_ADDED:
            return replace(self, shelf=(*self.shelf, picture)).pick(len(self.shelf))
        # The oldest added picture that isn't chosen makes room; fewer are chosen than added.
        added = range(self.fixed, len(self.shelf))
        oldest = next(i for i in added if i not in self.chosen)
        shelf = (*self.shelf[:oldest], *self.shelf[oldest + 1 :], picture)
        chosen = tuple(i - (i > oldest) for i in self.chosen)
        return replace(self, shelf=shelf, chosen=chosen).pick(len(shelf) - 1)

    def restored(self, images: Sequence[Image.Image], names: Sequence[str] = ()) -> "Choice":
        """Put `images` on the shelf, and choose those."""
        choice = replace(self, slot=0)
        for place, image in enumerate(images):
            name = names[place] if place < len(names) else "from a PNG"
            choice = choice.add(Picture(name, image))
        if self.mode == "many" and images:
            return replace(choice, chosen=choice.chosen[-len(images) :])
        return choice

    @property
    def key(self) -> str:
        """A word for the chosen pictures and how they are squared, which no other choice has."""
        return "-".join((self.fit, *(self.shelf[i].key for i in self.chosen)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the chosen pictures."""
        return tuple(self.shelf[i].name for i in self.chosen)

    @property
    def sources(self) -> tuple[PictureSource, ...]:
        """The chosen pictures, as experiments take them."""
        return tuple(PictureSource.of(self.shelf[i].fitted(self.fit)) for i in self.chosen)

    def message(self) -> PickerPictures:
        """Return the message that the picker shows."""
        small = [square(p.fitted(self.fit), THUMB_SIDE) for p in self.shelf]
        # The page's own pictures have addresses; people's aren't to be found under any.
        sources = [
            served(jpeg_bytes(image), "jpg") if place < self.fixed else jpeg_uri(image)
            for place, image in enumerate(small)
        ]
        names = (picture.name for picture in self.shelf)
        thumbs = tuple(map(Thumb, sources, names))
        return PickerPictures(self.mode, thumbs, self.chosen, self.key, self.slot)


class Picker:
    """The picker's components and their events; `state` holds a Choice."""

    def __init__(self, studio: Studio, tab: str, mode: Mode) -> None:
        self._studio = studio
        self._examples = load_examples(ASSETS / "showcase")
        shelf = tuple(
            Picture(f"seed {it.recipe.seed + it.recipe.picture}", own_picture(it.small_path))
            for it in self._examples
        ) or (_plain(),)
        chosen = (0,) if mode != "pair" else (0, len(shelf) // 2)
        first = Choice(mode, shelf, chosen, fixed=len(shelf))
        self.state = gr.State(first)
        self.instrument = LabComponent(
            "picker", first.message(), tab=tab, label="pictures to choose"
        )
        with gr.Row(elem_classes="lab-sources"):
            upload = UploadButton("Upload", file_types=["image"], size="sm", min_width=60)
            painted = gr.Button("From Paint", size="sm", min_width=60)
            fit = fit_control("how an upload becomes a square", min_width=60)
        seen = gr.Textbox(visible=False, label="what Paint shows")
        both = [self.state, self.instrument]
        # Each click counts; Gradio would drop one that comes before the last one's event is over.
        each: dict[str, Any] = quiet() | {"trigger_mode": "multiple", "concurrency_limit": 1}
        self._doings: list[Callable[[Dependency], None]] = []
        self._events: list[Dependency] = [
            self.instrument.select(errors_to_page(self._picked), self.state, both, **each),
            upload.upload(errors_to_page(self._uploaded), [self.state, upload], both, **quiet()),
            fit.change(errors_to_page(self._fitted), [self.state, fit], both, **quiet()),
            painted.click(
                errors_to_page(self._painted),
                [self.state, seen],
                both,
                js="(state) => [state, pleinAir.painted()]",
                **streaming(),
            ),
        ]

    def changed(self, do: Callable[..., Any], inputs: Sequence[Any], outputs: Any) -> None:
        """Call `do` after every change; of several changes at once, at least after the last."""

        def doing(event: Dependency) -> None:
            event.success(do, inputs, outputs, trigger_mode="always_last", **light())

        self._doings.append(doing)
        for event in self._events:
            doing(event)

    def follow(self, event: Dependency) -> None:
        """Count `event`, which has the picker's state among its outputs, as a change."""
        self._events.append(event)
        for doing in self._doings:
            doing(event)

    def _picked(self, choice: Choice, event: gr.EventData) -> tuple[Choice, PickerPictures]:
        asked = event._data if isinstance(event._data, dict) else {}
        picture, slot = asked.get("picture"), asked.get("slot")
        if type(picture) is int and 0 <= picture < len(choice.shelf):
            return _shown(choice.pick(picture))
        if type(slot) is int and slot in {0, 1}:
            return _shown(replace(choice, slot=slot))
        raise StudioError("The page sent a choice that can't be read.", "Reload the page.")

    def _uploaded(self, choice: Choice, path: Path) -> tuple[Choice, PickerPictures]:
        crop, squash = READERS.squares(path, [(UPLOAD_SIDE, fit) for fit in FITS])
        number = choice.uploads + 1
        picture = Picture(f"upload {number}", crop, squash)
        return _shown(replace(choice.add(picture), uploads=number))

    def _fitted(self, choice: Choice, fit: Fit) -> tuple[Choice, PickerPictures]:
        return _shown(replace(choice, fit=fit))

    def _painted(self, choice: Choice, seen: str) -> tuple[Choice, PickerPictures]:
        recipe = shown_in_paint(seen)
        place = recipe.picture
        stored = next((e for e in self._examples if e.recipe == recipe), None)
        if stored is not None:
            image = own_picture(stored.small_path)
        else:
            painter = self._studio.painter
            small = painter.complete(recipe.small.for_picture(place))
            results = finish(painter.films.picture_steps(small))
            image = image_of(results[place].pixels)
        name = f"painted, seed {recipe.seed + place}"
        return _shown(choice.add(Picture(name, image)))


def shown_in_paint(seen: str) -> Recipe:
    """Read which picture Paint shows, as `pleinAir.painted` tells it: its recipe.

    Raises:
        PictureError: If it shows none.
        RecipeError: If the recipe is none.
    """
    try:
        asked = json.loads(seen or "null")
        run, place = str(asked["run"]), int(asked["picture"])
        recipe = recipe_of(run, str(asked.get("recipe") or ""))
    except (ValueError, TypeError, KeyError) as error:
        raise PictureError("Paint shows no picture yet.", "Paint one first.") from error
    if not 0 <= place < recipe.pictures:
        raise PictureError("That picture isn't in the run.", "Choose one in Paint.")
    return recipe.for_picture(place)


def _shown(choice: Choice) -> tuple[Choice, PickerPictures]:
    return choice, choice.message()


def _plain() -> Picture:
    """Make a picture of two colours, for where no painting is at hand."""
    pixels = np.full((THUMB_SIDE, THUMB_SIDE, 3), (120, 160, 190), dtype=np.uint8)
    pixels[THUMB_SIDE // 2 :] = (110, 130, 80)
    return Picture("two colours", image_of(pixels))
