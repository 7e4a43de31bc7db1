"""The public API: typed calls with names, for gradio_client and curl."""

from pathlib import Path
from typing import Any, cast

import gradio as gr
from gradio.events import api
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from app.errors import RecipeError
from app.service.pictures import read_recipe
from app.service.recipe import Recipe
from app.service.results import results
from app.service.studio import Studio
from app.ui.faults import said


def add_api(studio: Studio, network: str) -> None:
    """Add the endpoints to the page being built; those that paint join the `network` group."""

    def painted(recipe: Recipe) -> tuple[list[gr.FileData], list[dict[str, Any]]]:
        complete = studio.painter.complete(recipe)
        files, recipes = [], []
        for result in results(studio.painter, complete):
            files.append(_png_file(f"{result.name}.png", result.png()))
            recipes.append(result.recipe.model_dump(mode="json", exclude_none=True))
        return files, recipes

    def paint(
        model: str = studio.settings.default_model,
        sampler: str = "ddim",
        steps: int = 50,
        spacing: str = "trailing",
        eta: float = 0.0,
        clip: bool = True,
        seed: int = 0,
        pictures: int = 1,
        precision: str = "exact",
        label: int | None = None,
        guidance_scale: float = 1.0,
    ) -> tuple[list[gr.FileData], list[dict[str, Any]]]:
        """Paint pictures.

        Returns the PNG files, each with its recipe inside, and the recipes as JSON.
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

    def repaint(recipe: str) -> tuple[list[gr.FileData], list[dict[str, Any]]]:
        """Paint a recipe, given as its JSON, again."""
        return painted(Recipe.from_json(recipe))

    def recipe(png: gr.FileData) -> dict[str, Any]:
        """The recipe inside a PNG that was painted here."""
        return read_recipe(_uploaded(png)).model_dump(mode="json", exclude_none=True)

    def models() -> list[dict[str, Any]]:
        """The models there are: id, size, parameters, classes."""
        return [vars(info) for info in studio.models.list()]

    api(said(paint), api_name="paint", concurrency_id=network)
    api(said(repaint), api_name="repaint", concurrency_id=network)
    api(said(recipe), api_name="recipe")
    api(said(models), api_name="models")


def _uploaded(file: object) -> bytes:
    """The bytes of a file that this caller uploaded: a path to anything else is refused."""
    path = file.get("path") if isinstance(file, dict) else None
    folder = Path(get_upload_folder()).resolve()
    real = Path(path).resolve() if isinstance(path, str) else folder
    if not real.is_relative_to(folder) or not real.is_file():
        raise RecipeError("That is no uploaded file.", "Upload the PNG first, as handle_file does.")
    return real.read_bytes()


def _png_file(name: str, data: bytes) -> gr.FileData:
    path = save_bytes_to_cache(data, name, get_upload_folder())
    file = gr.FileData(path=path, orig_name=name, mime_type="image/png")
    # Gradio serves only what it finds in plain dictionaries, whatever the annotation says.
    return cast(gr.FileData, file.model_dump())
