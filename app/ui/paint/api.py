"""The public API of painting."""

from typing import Annotated, Any

import gradio as gr

from app.fields import Fields, limited
from app.painting.recipe import Recipe, read_recipe
from app.studio import Studio
from app.ui.callers import Steps
from app.ui.endpoints import arguments as arg
from app.ui.endpoints.endpoint import expose
from app.ui.endpoints.experiments import films
from app.ui.endpoints.files import uploaded


def add_paint_api(studio: Studio, network: str) -> None:
    """Add the endpoints of painting; those that paint join the `network` group."""

    def painted(recipe: Recipe) -> Steps[tuple[list[gr.FileData], list[dict[str, Any]]]]:
        run = studio.painter.complete(recipe)
        return films((yield from studio.painter.films.picture_steps(run)))

    def paint(
        **wish: Annotated[Any, Fields(Recipe, defaults={"model": studio.settings.default_model})],
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
    expose(recipe)
    expose(models)
