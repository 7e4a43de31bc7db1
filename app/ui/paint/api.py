"""The public API of painting."""

from typing import Annotated, Any

import gradio as gr

from app.fields import Fields, limited
from app.laboratory.sheet_experiment import Sheet, SheetAxis
from app.painting.recipe import Recipe, read_recipe
from app.studio import Studio
from app.ui.callers import Steps
from app.ui.endpoints import arguments as arg
from app.ui.endpoints.endpoint import expose
from app.ui.endpoints.experiments import described, films, plain
from app.ui.endpoints.files import saved_file, uploaded


def add_paint_api(studio: Studio, network: str) -> None:
    """Add the endpoints of painting; those that paint join the `network` group."""
    lab, model = studio.sheet_lab, {"model": studio.settings.default_model}
    in_common = Fields(Recipe, without=("pictures",), defaults=model)

    def painted(recipe: Recipe) -> Steps[tuple[list[gr.FileData], list[dict[str, Any]]]]:
        run = studio.painter.complete(recipe)
        return films((yield from studio.painter.films.picture_steps(run)))

    def paint(
        **wish: Annotated[Any, Fields(Recipe, defaults=model)],
    ) -> Steps[tuple[list[gr.FileData], list[dict[str, Any]]]]:
        """Paint pictures from noise.

        Returns:
            files: The PNG files, each with its recipe inside.
            recipes: Their recipes: all it takes to paint each again.
        """
        T = studio.models.describe(wish["model"]).num_train_timesteps
        return (yield from painted(Recipe.checked(limited(wish, T, Recipe))))

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
            models: Of each the id, size in pixels, channels, parameters, T, classes and name.
        """
        return [vars(info) for info in studio.models.list()]

    expose(paint, concurrency_id=network)
    expose(repaint, concurrency_id=network)
    expose(sheet, concurrency_id=network)
    expose(sheet_time, concurrency_id=network)
    expose(recipe)
    expose(models)
