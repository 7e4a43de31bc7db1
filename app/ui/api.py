"""The public API: typed calls with names, for gradio_client and curl."""

from typing import Any

import gradio as gr

from app.service.pictures import read_recipe
from app.service.recipe import Recipe
from app.service.results import results
from app.service.studio import Studio
from app.ui import arguments as arg
from app.ui.bound_api import add_bound_api
from app.ui.endpoint import expose
from app.ui.files import saved_file, uploaded
from app.ui.lab_api import add_noise_api
from app.ui.mix_api import add_mix_api
from app.ui.train_api import add_train_api


def add_api(studio: Studio, network: str) -> None:
    """Add the endpoints to the page being built; those that paint join the `network` group."""

    def painted(recipe: Recipe) -> tuple[list[gr.FileData], list[dict[str, Any]]]:
        complete = studio.painter.complete(recipe)
        files, recipes = [], []
        for result in results(studio.painter, complete):
            files.append(saved_file(f"{result.name}.png", result.png()))
            recipes.append(result.recipe.model_dump(mode="json", exclude_none=True))
        return files, recipes

    def paint(
        model: arg.Model = studio.settings.default_model,
        sampler: arg.Sampler = "dpm-solver-sde",
        steps: arg.Steps = 50,
        spacing: arg.Spacing = "trailing",
        eta: arg.Eta = 0.0,
        clip: arg.Clip = True,
        seed: arg.Seed = 0,
        pictures: arg.Count = 1,
        precision: arg.Precision = "exact",
        label: arg.Label = None,
        guidance_scale: arg.Guidance = 1.0,
    ) -> tuple[list[gr.FileData], list[dict[str, Any]]]:
        """Paint pictures from noise.

        Returns:
            files: The PNG files, each with its recipe inside.
            recipes: Their recipes: all it takes to paint each again.
        """
        return painted(
            Recipe.checked(
                {
                    "model": model,
                    "sampler": sampler,
                    "steps": steps,
                    "spacing": spacing,
                    "eta": eta,
                    "clip": clip,
                    "seed": seed,
                    "pictures": pictures,
                    "precision": precision,
                    "label": label,
                    "guidance_scale": guidance_scale,
                }
            )
        )

    def repaint(recipe: arg.Recipe) -> tuple[list[gr.FileData], list[dict[str, Any]]]:
        """Paint a recipe again.

        Returns:
            files: The PNG files, each with its recipe inside.
            recipes: Their recipes.
        """
        return painted(Recipe.from_json(recipe))

    def recipe(png: arg.Painted) -> dict[str, Any]:
        """Read the recipe inside a PNG that was painted here.

        Returns:
            recipe: The recipe.
        """
        return read_recipe(uploaded(png)).model_dump(mode="json", exclude_none=True)

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
    add_noise_api(studio, network)
    add_mix_api(studio, network)
    add_bound_api(studio, network)
    add_train_api(studio)
