"""The public API of painting."""

from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Final

import gradio as gr

from app.errors import PictureError
from app.fields import Fields, declared, limited
from app.images.headers import PictureHeader
from app.images.reader import READERS
from app.laboratory.sheet_experiment import Sheet, SheetAxis
from app.models.files import ModelInfo
from app.painting.canvas import check_same_size, held, side_of
from app.painting.recipe import STEP_FIELDS, Recipe, read_recipe
from app.studio import Studio
from app.ui.callers import Steps
from app.ui.endpoints import arguments as arg
from app.ui.endpoints.endpoint import expose
from app.ui.endpoints.experiments import described, films, plain
from app.ui.endpoints.files import saved_file, uploaded

BEFORE: Final = tuple(takewhile(lambda name: name != "start_t", declared(Recipe)))
"""The recipe's fields that come before the picture to start from."""


def add_paint_api(studio: Studio, network: str) -> None:
    """Add the endpoints of painting; those that paint join the `network` group."""
    lab, model = studio.sheet_lab, {"model": studio.settings.default_model}
    in_common = Fields(Recipe, without=("pictures", *STEP_FIELDS), defaults=model)

    def painted(recipe: Recipe) -> Steps[tuple[list[gr.FileData], list[dict[str, Any]]]]:
        run = studio.painter.complete(recipe)
        return films((yield from studio.painter.films.picture_steps(run)))

    def paint(
        **wish: Annotated[
            Any,
            Fields(Recipe, BEFORE, defaults=model),
            Fields(arg.Held),
            Fields(Recipe),
        ],
    ) -> Steps[tuple[list[gr.FileData], list[dict[str, Any]]]]:
        """Paint pictures, from noise or from a picture: all of it, or what a mask shows.

        Returns:
            files: The PNG files, each with its recipe inside.
            recipes: Their recipes: all it takes to paint each again.
        """
        info = studio.models.describe(wish["model"])
        given = {name: wish.pop(name) for name in arg.Held.model_fields}
        wish |= _canvas(info, given, large=wish["size"] not in (None, info.size))
        asked = Recipe.checked(limited(wish, info.num_train_timesteps, Recipe))
        return (yield from painted(asked))

    def repaint(recipe: arg.Recipe) -> Steps[tuple[list[gr.FileData], list[dict[str, Any]]]]:
        """Paint a recipe again.

        Returns:
            files: The PNG files, each with its recipe inside.
            recipes: Their recipes.
        """
        return (yield from painted(Recipe.from_json(recipe)))

    def sheet(
        rows: arg.RowSetting,
        row_values: arg.AxisValues,
        columns: arg.ColumnSetting,
        column_values: arg.AxisValues,
        **wish: Annotated[Any, in_common],
    ) -> Steps[tuple[gr.FileData, dict[str, Any]]]:
        """Paint one seed side by side: a setting differs from row to row, another by column.

        Returns:
            sheet: The labelled sheet as a PNG, its experiment inside.
            experiment: All it takes to paint it again.
        """
        run = lab.complete(asked((rows, row_values), (columns, column_values), wish))
        result = yield from lab.sheets.steps(run)
        return saved_file(f"{result.name}.png", result.png()), described(run.request)

    def sheet_time(
        rows: arg.RowSetting,
        row_values: arg.AxisValues,
        columns: arg.ColumnSetting,
        column_values: arg.AxisValues,
        **wish: Annotated[Any, in_common],
    ) -> dict[str, Any]:
        """Tell how long a sheet will take here, from a network step measured just now.

        Returns:
            time: network_steps, seconds_per_step and seconds.
        """
        wanted = lab.complete(asked((rows, row_values), (columns, column_values), wish))
        return dict(plain(lab.estimate(wanted.request)))

    def asked(
        rows: tuple[str, list[Any]], columns: tuple[str, list[Any]], wish: dict[str, Any]
    ) -> Sheet:
        T = studio.models.describe(wish["model"]).num_train_timesteps
        axes = {"rows": SheetAxis.of(*rows), "columns": SheetAxis.of(*columns)}
        return Sheet.of(limited(wish, T, Recipe) | axes)

    def recipe(png: arg.Painted) -> dict[str, Any]:
        """Read the recipe inside a PNG that was painted here.

        Returns:
            recipe: The recipe.
        """
        with uploaded(png).open("rb") as file:
            return read_recipe(file).model_dump(mode="json", exclude_none=True)

    def models() -> list[dict[str, Any]]:
        """List the models there are.

        Returns:
            models: Of each the id, size in pixels, channels, parameters, T, classes and latent.
        """
        return [asdict(info) for info in studio.models.list()]

    expose(paint, concurrency_id=network)
    expose(repaint, concurrency_id=network)
    expose(sheet, concurrency_id=network)
    expose(sheet_time, concurrency_id=network)
    expose(recipe)
    expose(models)


def _canvas(info: ModelInfo, given: dict[str, Any], *, large: bool) -> dict[str, str | None]:
    """Return a recipe's picture and mask of a call's arguments, `arguments.Held`."""
    source, mask, fit = given["source"], given["mask"], given["fit"]
    if source is None:
        if mask is not None:
            raise PictureError("A mask is about a picture.", "Send that as source.")
        return {}
    side = side_of(info, large=large, masked=mask is not None)
    (picture,) = READERS.squares(uploaded(source), [(side, fit)])
    hole = None
    if mask is not None:
        sizes = [_size(uploaded(it)) for it in (source, mask)]
        if sorted(sizes[0]) != sorted(sizes[1]):  # a photograph may lie on its side
            check_same_size(*sizes)
        (hole,) = READERS.squares(uploaded(mask), [(side, fit)])
    return held(picture, hole, info, sketch=given["sketch"])


def _size(picture: Path) -> tuple[int, int]:
    """Return a picture's width and height, as its header has them."""
    with picture.open("rb") as file:
        header = PictureHeader.of(file)
    return header.width, header.height
