"""`python -m tools.bench`: the studio's speed on this machine, beside diffusers' own pipeline.

The contenders take turns in one process, so a busy machine slows all of them alike; the ratios
printed first are medians over the rounds.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tools.run import run

if TYPE_CHECKING:
    from app.studio import Studio

BATCHES: Final = (1, 8)
DIFFUSERS: Final = "diffusers"

Painters = dict[str, Callable[[int], object]]


def command(
    model: Annotated[str, typer.Option(help="A model's id.")] = "impressionist-64",
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of each picture.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each contender.")] = 5,
    grid: Annotated[bool, typer.Option(help="Also time Mix's grid, in its bare steps.")] = True,
    stages: Annotated[bool, typer.Option(help="Also time paintings with a second stage.")] = True,
    page: Annotated[bool, typer.Option(help="Also time the page, served by a process.")] = True,
    paintings: Annotated[int, typer.Option(min=1, help="Paintings for the page's memory.")] = 50,
    browser: Annotated[
        bool, typer.Option("--browser", help="Time the page without a server instead.")
    ] = False,
    train: Annotated[bool, typer.Option("--train", help="Time training instead.")] = False,
) -> None:
    """Time a step and a picture against diffusers' DDPMPipeline, a grid, the stages, streaming.

    With --browser: the page without a server, which needs the extra static and Chromium.
    With --train: the training engine's pictures per second against a bare loop's, and what a
    painting and a training take from each other.
    """
    if train:
        from tools.bench import sharing as bench_sharing
        from tools.bench import training as bench_training

        bench_training.report()
        bench_sharing.report()
        return
    from app.settings import Settings
    from app.studio import Studio
    from tools.bench import grid as bench_grid
    from tools.bench import stages as bench_stages
    from tools.bench.page import report_page

    studio = Studio(Settings.from_environment())
    if browser:
        from tools.bench import browser as bench_browser

        bench_browser.report(studio, model, steps, rounds)
        return
    painters, flop = _contenders(studio, model, steps)
    typer.echo(_machine(studio, model, flop))
    for batch in BATCHES:
        typer.echo(_network_table(_turns(painters, batch, rounds), batch, steps, flop))
    if grid:
        typer.echo("")
        bench_grid.report(studio, model, steps, rounds)
    if stages:
        typer.echo("")
        bench_stages.report(studio, model, rounds)
    if page:
        report_page(model, steps, rounds, paintings)


def _contenders(studio: "Studio", model: str, steps: int) -> tuple[Painters, int]:
    """Return the contenders, functions that paint a batch, by name, and the FLOP a step."""
    import torch
    from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
    from torch.utils.flop_counter import FlopCounterMode

    from app.networks.unet import PRECISIONS
    from app.painting.recipe import Recipe

    pipeline = DDPMPipeline.from_pretrained(studio.models.find(model).folder)
    pipeline.set_progress_bar_config(disable=True)
    side, channels = pipeline.unet.config["sample_size"], pipeline.unet.config["in_channels"]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        pipeline.unet(torch.zeros(1, channels, side, side), 0)

    def by_diffusers(batch: int) -> object:
        generators = [torch.Generator().manual_seed(seed) for seed in range(batch)]
        # On the thread that owns the processors, as the pipeline would in its own process.
        return studio.models.executor.submit(
            pipeline, batch, generators, num_inference_steps=steps
        ).result()

    def by_studio(precision: str) -> Callable[[int], object]:
        def paint(batch: int) -> object:
            fields = {"model": model, "sampler": "ddpm", "steps": steps, "spacing": "leading"}
            recipe = Recipe.checked(fields | {"pictures": batch, "precision": precision})
            return sum(1 for _ in studio.painter.films.stream(recipe))

        return paint

    contenders = {DIFFUSERS: by_diffusers} | {name: by_studio(name) for name in PRECISIONS}
    return contenders, counter.get_total_flops()


@dataclass(frozen=True)
class RoundTimes:
    """The seconds that each contender took, round by round."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Return the median of a contender's seconds."""
        return statistics.median(self.seconds[name])

    def times_faster(self, name: str) -> float:
        """Return the median over the rounds of diffusers' seconds divided by a contender's."""
        rounds = zip(self.seconds[DIFFUSERS], self.seconds[name], strict=True)
        return statistics.median(theirs / ours for theirs, ours in rounds)


def _turns(painters: Painters, batch: int, rounds: int) -> RoundTimes:
    seconds: dict[str, list[float]] = {name: [] for name in painters}
    for paint in painters.values():
        paint(batch)  # one-time costs are not timed: loading, buffers, packed weights
    for _ in range(rounds):
        for name, paint in painters.items():
            began = time.perf_counter()
            paint(batch)
            seconds[name].append(time.perf_counter() - began)
    return RoundTimes(seconds)


def _machine(studio: "Studio", model: str, flop: int) -> str:
    import torch

    from app.networks.devices import choose_device, fast_dtype

    device = choose_device(studio.settings.device)
    return (
        f"{studio.models.describe(model).summary} · {flop / 1e9:.2f} GFLOP a step · "
        f"torch {torch.__version__} on {device}, {studio.models.executor.threads} threads · "
        f"fast is {str(fast_dtype(device)).removeprefix('torch.')}"
    )


def _network_table(turns: RoundTimes, batch: int, steps: int, flop: int) -> str:
    lines = [
        "",
        f"{batch} picture{'s' if batch > 1 else ''} of {steps} DDPM steps",
        f"{'':12}{'faster':>8}{'ms a step':>11}{'GFLOP/s':>9}{'pictures/s':>12}",
    ]
    for name in turns.seconds:
        seconds = turns.median(name)
        lines.append(
            f"{name:12}{turns.times_faster(name):>7.2f}x{seconds / steps * 1e3:>11.1f}"
            f"{flop * batch * steps / seconds / 1e9:>9.0f}{batch / seconds:>12.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run(command)
