"""Viewers who paint at once, beside the same paintings one after another."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from app.studio import Studio

VIEWERS: Final = 8


def report(studio: "Studio", model: str, steps: int, rounds: int) -> None:
    """Print what eight viewers at once get, in each precision, and how long the slowest waits."""
    from app.networks.unet import PRECISIONS
    from app.painting.recipe import Recipe

    seeds = count(1)  # a picture that is remembered isn't painted again

    def paint(precision: str) -> float:
        """Paint a picture; return its seconds."""
        wish = {"model": model, "steps": steps, "sampler": "ddpm", "precision": precision}
        recipe = Recipe.checked(wish | {"seed": next(seeds)})
        began = time.perf_counter()
        for _ in studio.painter.films.stream(recipe):
            pass
        return time.perf_counter() - began

    with ThreadPoolExecutor(VIEWERS) as viewers:
        for precision in PRECISIONS:
            paint(precision)
            ratios, slowest = [], []
            for _ in range(rounds):
                alone = sum(paint(precision) for _ in range(VIEWERS))
                began = time.perf_counter()
                waits = list(viewers.map(paint, [precision] * VIEWERS))
                ratios.append(alone / (time.perf_counter() - began))
                slowest.append(max(waits) / (alone / VIEWERS))
            more, longer = statistics.median(ratios), statistics.median(slowest)
            typer.echo(
                f"{VIEWERS} viewers at once, {precision}, get {more:.2f} times the pictures of one "
                f"after another; the slowest waits {longer:.1f} times as long as one alone"
            )
