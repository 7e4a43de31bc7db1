"""The parts that the laboratories' endpoints have in common."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import gradio as gr
from pydantic_core import to_json

from app.documents import Document
from app.fields import Fields, declared, limited
from app.images.reader import READERS
from app.laboratory.experiment import DECODING_STEPS, Experiment
from app.models.fields import GUIDANCE_FIELDS
from app.painting.canvas import UPLOAD_SIDE
from app.painting.film import FilmResult
from app.painting.recipe import Filmed, Recipe
from app.painting.sources import PictureSource
from app.studio import Studio
from app.ui.endpoints.arguments import Json, Shown
from app.ui.endpoints.files import saved_file, uploaded

Kind = TypeVar("Kind", bound=Experiment)


def shown(studio: Studio, *names: str) -> Fields:
    """Return the fields of `arguments.Shown`: the model, the fit, and others by their `names`."""
    model = studio.settings.default_model
    return Fields(Shown, ("model", "fit", *names), defaults={"model": model})


def way_back(*without: str) -> Fields:
    """Return the fields of an experiment's reverse process, DDPM's unless a caller says otherwise.

    Args:
        without: Fields that the endpoint doesn't have.
    """
    return Fields(
        Recipe,
        names=_in_order(),
        without=("model", *without),
        everywhere=True,
        renamed=VARIATIONS,
        words={
            "steps": "Network steps from T to 0; a run from t takes a share.",
            **(ONE_BRUSHWORK if "pictures" in without else {}),
        },
        defaults={"sampler": "ddpm", "steps": DECODING_STEPS, "eta": ETA},
    )


def _in_order() -> tuple[str, ...]:
    """List the recipe's fields; how hard a class pulls came to these calls with the interval."""
    scale, first, _ = GUIDANCE_FIELDS
    names = [name for name in declared(Recipe) if name != scale]
    names.insert(names.index(first), scale)
    return tuple(names)


ONE_BRUSHWORK: Final = {
    "stage_seed": "All noise of the second stage derives from it, the same for all pictures."
}
"""What is said of a grid's and a morph's pictures, which are looked at together."""

VARIATIONS: Final = {"pictures": "variations"}
"""What a call says for the pictures of a run that starts from one."""

ETA: Final = 1.0
"""The default eta, at which variations differ."""


def asked(studio: Studio, kind: type[Kind], how: Mapping[str, Any], *pictures: gr.FileData) -> Kind:
    """Make the experiment that a call asks for: its fields, and its uploaded pictures."""
    sources = [source_of(studio, picture, how["model"], how["fit"]) for picture in pictures]
    T = studio.models.describe(how["model"]).num_train_timesteps
    return kind.of(limited(how, T, kind, steps=DECODING_STEPS), sources)


def source_of(studio: Studio, picture: gr.FileData, model: str, fit: str) -> PictureSource:
    """Read an uploaded picture as `model` will see it."""
    size = min(studio.models.describe(model).size, UPLOAD_SIDE)
    how: Any = fit  # the reader refuses what is neither crop nor squash
    (image,) = READERS.squares(uploaded(picture), [(size, how)])
    return PictureSource.of(image)


def films(results: Sequence[FilmResult[Filmed]]) -> tuple[list[gr.FileData], list[Json]]:
    """Return finished pictures as files, and all it takes to paint each again."""
    files = [saved_file(f"{result.name}.png", result.png()) for result in results]
    return files, [described(result.request) for result in results]


def described(request: Document) -> Json:
    """Return a recipe or an experiment as JSON."""
    return request.model_dump(mode="json", exclude_none=True)


def plain(value: Any) -> Any:
    """Return a dataclass of the service as JSON; numbers that aren't finite become null."""
    return json.loads(to_json(value, inf_nan_mode="null"))
