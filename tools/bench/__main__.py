"""`python -m tools.bench PART`: the studio's speed on this machine, beside diffusers' own pipeline.

The contenders take turns in one process, so a busy machine slows all of them alike; the ratios
printed first are medians over the rounds. `all` gives each part a process of its own, one after
another, and joins what they told in a table.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.settings import ROOT
from tools.run import run

if TYPE_CHECKING:
    from app.studio import Studio

BATCHES: Final = (1, 8)
DIFFUSERS: Final = "diffusers"

Painters = dict[str, Callable[[int], object]]


class Part(StrEnum):
    """What can be timed by itself."""

    ALL = "all"
    BASE = "base"
    GRID = "grid"
    STAGE = "stage"
    PAGE = "page"
    VIEWERS = "viewers"
    STATIC = "static"
    TRAINING = "training"
    SHARING = "sharing"


def command(
    part: Annotated[Part, typer.Argument(help="What to time.")] = Part.ALL,
    model: Annotated[str, typer.Option(help="A model's id.")] = "impressionist-64",
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of each picture.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each contender.")] = 3,
    paintings: Annotated[int, typer.Option(min=1, help="Paintings for the page's memory.")] = 20,
) -> None:
    """Time a part of the studio, or all of them.

    base: a step and a picture against diffusers' DDPMPipeline. grid: Mix's grid against its bare
    network steps. stage: paintings with a second stage. page: the page, served by a process.
    viewers: eight streams at once. static: the page without a server, in Chromium, which needs the
    extra static. training: the engine's pictures per second against a bare loop's. sharing: what a
    painting and a training take from each other.
    """
    if part is Part.ALL:
        _all("--model", model, "--steps", steps, "--rounds", rounds, "--paintings", paintings)
    elif part is Part.PAGE:
        from tools.bench.page import report_page

        report_page(model, steps, rounds, paintings)
    elif part is Part.TRAINING:
        from tools.bench import training

        training.report(rounds)
    elif part is Part.SHARING:
        from tools.bench import sharing

        sharing.report(rounds)
    else:
        _in_a_studio(part, model, steps, rounds)


def _in_a_studio(part: Part, model: str, steps: int, rounds: int) -> None:
    from app.settings import Settings
    from app.studio import Studio
    from tools.bench import browser, grid, stages, viewers

    studio = Studio(Settings.from_environment())
    if part is Part.GRID:
        grid.report(studio, model, steps, rounds)
    elif part is Part.STAGE:
        stages.report(studio, model, rounds)
    elif part is Part.VIEWERS:
        viewers.report(studio, model, steps, rounds)
    elif part is Part.STATIC:
        browser.report(studio, model, steps, rounds)
    else:
        painters, flop = _contenders(studio, model, steps)
        typer.echo(_machine(studio, model, flop))
        for batch in BATCHES:
            typer.echo(_network_table(_turns(painters, batch, rounds), batch, steps, flop))


def _all(*options: object) -> None:
    """Time every part in a process of its own, and print a table of all that they told."""
    table = ["", "| part | |", "|---|---|"]
    for part in Part:
        if part is Part.ALL:
            continue
        typer.echo(f"{part}:")
        arguments = (sys.executable, "-m", "tools.bench", part, *map(str, options))
        with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                for line in process.stdout or ():
                    typer.echo(line, nl=False)
                    if line.strip():
                        table.append(f"| {part} | {line.strip()} |")
            finally:
                process.terminate()
        if process.returncode:
            table.append(f"| {part} | ended with {process.returncode} |")
    typer.echo("\n".join(table))


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
    fast = studio.models.load(model).engine("fast")
    return (
        f"{studio.models.describe(model).summary} · {flop / 1e9:.2f} GFLOP a step · "
        f"torch {torch.__version__} on {device}, {studio.models.executor.threads} threads · "
        f"fast is {str(fast_dtype(device)).removeprefix('torch.')} by {fast} · "
        f"{torch.backends.cpu.get_cpu_capability()}"
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
