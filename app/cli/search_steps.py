"""`python -m app search-steps`: search for a few steps that paint as well as many."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from tqdm import tqdm

from app.errors import StudioError

if TYPE_CHECKING:
    from app.evaluation.quick_distances import QuickJudge
    from app.evaluation.step_search import SearchState
    from app.images.reading import Fit
    from app.models.files import ModelInfo

FORMAT: Final = "plein-air-step-search/1"

MOST_PAINTINGS: Final = 2048
"""Samples are held against so many paintings at most: all pairs of them have a kernel."""

AIM: Final = "dpm-solver-sde"
MANY: Final = 50
"""The sampler, and its number of steps, that the found steps are to be as good as."""


def command(
    model: Annotated[str, typer.Argument(help="A model's id.")],
    data: Annotated[Path, typer.Option(help="The folder of pictures that it was trained on.")],
    steps: Annotated[int, typer.Option(help="How many steps, each one network evaluation.")] = 16,
    count: Annotated[int, typer.Option(help="Samples of each candidate, of the same seeds.")] = 256,
    rounds: Annotated[int, typer.Option(help="Rounds, of about a dozen candidates each.")] = 30,
    seed: Annotated[int, typer.Option(help="Picture i draws from seed + i; all else too.")] = 0,
    name: Annotated[str, typer.Option(help="What the steps are called; STEPS steps, else.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A JSON file for the search's state after each round; where it is there, the "
            "search goes on from it."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="exact or fast; of the samples.")] = "fast",
    fit: Annotated[
        Literal["crop", "squash"], typer.Option(help="How training made its pictures square.")
    ] = "squash",
    style: Annotated[
        bool, typer.Option("--style/--no-style", help="Judge with the style network too.")
    ] = True,
) -> None:
    """Search for the t and the eta of a few steps, and write schedules.json beside the model.

    What is found is to be judged once, on pictures that the model was never trained on: evaluate
    --sampler "schedule:NAME".
    """
    from app.evaluation.evaluator import parse_plan, require_judgeable
    from app.evaluation.step_search import StepSpace, Trials, begin, next_round
    from app.models.step_schedules import check_schedule_name, save_schedule
    from app.settings import Settings
    from app.studio import Studio

    name = name or f"{steps} steps"
    check_schedule_name(name)
    painter = Studio(Settings.from_environment()).painter
    info, files = painter.models.describe(model), painter.models.find(model)
    require_judgeable(info, style=style)
    aim = parse_plan(f"{AIM}:{min(MANY, info.num_train_timesteps)}", count)
    if not os.access(files.folder, os.W_OK):
        raise StudioError(
            f"{files.folder} can't be written.", "Copy the model to a folder of yours."
        )
    loaded = painter.models.load(model)
    space = StepSpace(loaded.schedule, steps)
    of = {"format": FORMAT, "weights": loaded.weights, "steps": steps, "count": count}
    of |= {"seed": seed, "style": style, "precision": precision}
    state = _read(out, of)
    judge = _judge(data, info, count, seed, fit=fit, style=style)
    with tqdm(unit="step", desc=model) as bar:
        trials = Trials(painter, loaded, judge, count, seed, precision, bar.update)
        if state is None:
            typer.echo(f"aim, {AIM} in {aim.steps} steps: {trials.score(aim)}")
            state = begin(space, trials.measure)
            _tell(state, out, of)
        while state.rounds < rounds:
            state = next_round(space, trials.measure, state, seed=seed)
            _tell(state, out, of)
    found = trials.schedule(state.best.steps, name)
    typer.echo(f"wrote {save_schedule(files.folder, found, files.schedules)}; now judge it, once:")
    judged = f'--data HELD-OUT --sampler "schedule:{name}" --seed {seed + count}'
    typer.echo(f"python -m app evaluate {model} {judged}")


def _judge(
    data: Path, info: "ModelInfo", count: int, seed: int, *, fit: "Fit", style: bool
) -> "QuickJudge":
    """Read the paintings, or MOST_PAINTINGS of them, and measure them."""
    import numpy as np

    from app.datasets.folder import load_reference
    from app.evaluation.evaluator import LEAST
    from app.evaluation.features import RandomNetwork, StyleNetwork
    from app.evaluation.quick_distances import QuickJudge
    from app.novelty.index import FeatureSpace

    typer.echo("reading the pictures and measuring them", err=True)
    pictures = load_reference(data, info.size, info.channels, 2 * LEAST, fit=fit).pixels
    drawn = np.random.default_rng(seed).permutation(len(pictures))[:MOST_PAINTINGS]
    spaces: dict[str, FeatureSpace] = {"style": StyleNetwork()} if style else {}
    return QuickJudge(pictures[drawn], spaces | {"random": RandomNetwork()}, count, seed)


def _tell(state: "SearchState", out: Path | None, of: dict[str, Any]) -> None:
    """Print a round, and write the state where that is asked for."""
    from app.files import replace_json

    best = state.best
    typer.echo(
        f"round {state.rounds}: best {best.score}; this round {state.latest.score}; "
        f"sigma {state.evolution.sigma:.3f}"
    )
    typer.echo(f"  t {json.dumps(best.steps.step_t)}")
    typer.echo(f"  eta {json.dumps(best.steps.step_eta)}")
    if out:
        replace_json(out, {"of": of, "state": state.to_json()})


def _read(out: Path | None, of: dict[str, Any]) -> "SearchState | None":
    """Read the state of a search that was begun, where there is one.

    Raises:
        StudioError: If it is another search's, or damaged.
    """
    from app.evaluation.step_search import SearchState

    if out is None or not out.exists():
        return None
    try:
        table = json.loads(out.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudioError(f"{out} can't be read.", "Name another file for --out.") from error
    if not isinstance(table, dict) or table.get("of") != of:
        raise StudioError(
            f"{out} is of another search, or of other weights.",
            "Name another file for --out, or take that one away.",
        )
    return SearchState.from_json(table.get("state") or {})
