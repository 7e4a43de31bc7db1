"""The time of the grid of mixtures beside that of its network steps in bare batches.

Both take turns, like all contenders of the bench.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from app.laboratory.experiments import Grid
    from app.studio import Studio

COLOURS: Final = ((47, 93, 155), (201, 143, 43))
"""The colours of the two pictures that are mixed."""


@dataclass(frozen=True, eq=False)
class Contest:
    """A grid, and the same network steps in bare batches.

    Attributes:
        pictures: The cells that the network paints or reconstructs.
        steps: The network's steps, as many for the grid as for the batches.
        grid: Paints the grid.
        bare: Takes the network's steps, and discards their results.
    """

    pictures: int
    steps: int
    grid: Callable[[], object]
    bare: Callable[[], object]

    def ratio(self, rounds: int) -> float:
        """Return the median over the rounds of the grid's time divided by the bare batches'."""
        self.grid(), self.bare()  # one-time costs are not timed
        return statistics.median(_seconds(self.grid) / _seconds(self.bare) for _ in range(rounds))


def report(studio: "Studio", model: str, steps: int, rounds: int) -> None:
    """Print the ratio of the grid's time to that of its bare network steps."""
    for precision in ("exact", "fast"):
        found = contest(studio, model, steps, precision)
        typer.echo(
            f"A grid of {found.pictures} pictures, {precision}, takes {found.ratio(rounds):.2f} "
            f"times as long as its {found.steps} network steps in bare batches."
        )


def contest(studio: "Studio", model: str, steps: int, precision: str) -> Contest:
    """Prepare the paper's grid with `steps` steps from T, and its network steps alone."""
    from PIL import Image

    from app.laboratory.experiments import Grid, even_rows
    from app.painting.recipe import Recipe
    from app.painting.sources import PictureSource

    info = studio.models.describe(model)
    first, second = (PictureSource.of(Image.new("RGB", (info.size, info.size), c)) for c in COLOURS)
    wish = {"model": model, "sampler": "ddpm", "steps": steps, "precision": precision}
    run = Recipe.checked(wish | {"label": info.some_label})
    rows = even_rows(info.num_train_timesteps)
    grid = Grid.checked({"run": run, "first": first, "second": second, "rows": rows})
    return Contest(
        pictures=len(grid.rows) * len(grid.mixes),
        steps=studio.mix_lab.network_steps(grid),
        grid=lambda: sum(1 for _ in studio.mix_lab.grids.stream(grid)),
        bare=lambda: _bare(studio, grid),
    )


def _bare(studio: "Studio", grid: "Grid") -> None:
    import torch

    from app.painting.sampling import denoiser_for

    model, batch = studio.models.load(grid.run.model), len(grid.mixes)
    info, condition = model.info, model.condition(grid.run.label, batch)
    denoiser = denoiser_for(grid.run, model)
    x = torch.randn((batch, info.channels, info.size, info.size))
    for row in filter(None, grid.rows):
        for t in grid.run.timesteps_from(row, info.num_train_timesteps):
            denoiser.predict(x, t.expand(batch), condition)


def _seconds(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began
