"""The cost of the second stage: large paintings by turns with those of the model's own side."""

import statistics
import time
from itertools import count, pairwise

import psutil
import typer

from app.diffusion.cascade import RATIO
from app.painting.film import Moment
from app.painting.recipe import Recipe
from app.studio import Studio

STEPS = 50
BATCHES = (1, 4)
MEGA = 1_000_000


def report(studio: Studio, model: str, rounds: int) -> None:
    """Print how much longer large paintings take, the stage's memory, and when its frames begin."""
    own = studio.models.describe(model).size
    small = Recipe(model=model, steps=STEPS, precision="fast")
    kinds = {f"{own} px, {STEPS} steps": small} | {
        f"{RATIO * own} px, {STEPS} + {later}": small.model_copy(
            update={"size": RATIO * own, "stage_steps": later}
        )
        for later in (8, 12)
    }
    seeds = count()  # a small picture that is remembered isn't painted again
    list(studio.painter.films.stream(small))
    before = psutil.Process().memory_info().rss
    studio.models.load_stage(small.stage).denoiser("fast")
    taken = psutil.Process().memory_info().rss - before
    typer.echo(f"the second stage takes {taken / MEGA:.0f} MB")
    for batch in BATCHES:
        runs: dict[str, list[float]] = {name: [] for name in kinds}
        firsts = []
        for turn in range(rounds + 1):
            for name, recipe in kinds.items():
                wish = recipe.model_copy(update={"pictures": batch, "seed": 1000 * next(seeds)})
                times = _times(studio, wish)
                if turn:  # the first is not timed: buffers, packed weights
                    runs[name].append(times[-1] - times[0])
                    if wish.size:
                        firsts.append(_first_frame(times, wish))
        plain = next(iter(runs.values()))
        for name, seconds in runs.items():
            ratio = statistics.median(b / a for a, b in zip(plain, seconds, strict=True))
            each = statistics.median(seconds)
            typer.echo(f"{batch} at once, {name:18} {each:6.2f} s   {ratio:.2f}x")
        typer.echo(f"its first frame comes after {statistics.median(firsts):.1f} of its steps")


def _times(studio: Studio, recipe: Recipe) -> list[float]:
    """Paint, and tell when it began and when each moment came."""
    run = studio.painter.films.complete(recipe)
    times = [time.perf_counter()]
    times += [
        time.perf_counter()
        for moment in studio.painter.films.stream(run)
        if isinstance(moment, Moment)
    ]
    return times


def _first_frame(times: list[float], recipe: Recipe) -> float:
    """Count the steps of the second stage that pass from the small picture to its first frame."""
    last_small = 1 + recipe.steps
    step = statistics.median(b - a for a, b in pairwise(times[last_small + 1 :]))
    return (times[last_small + 1] - times[last_small]) / step
