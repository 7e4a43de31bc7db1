"""`python -m app train`: train a model on a folder of pictures, or go on with a run."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from tqdm import tqdm

from app.errors import StudioError

if TYPE_CHECKING:
    from app.service.model_files import ModelFiles
    from app.training.run import Run
    from app.training.trainee import Trainee

SAVING_SECONDS: Final = 4.5


def command(
    out: Annotated[Path, typer.Option(help="The run's folder; an existing run goes on.")],
    data: Annotated[Path | None, typer.Option(help="A folder of pictures.")] = None,
    init: Annotated[str | None, typer.Option(help="A model's id or folder to start from.")] = None,
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Settings, JSON or TOML.")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="A folder of pictures to measure on.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="The pictures' side, for a single phase.")
    ] = None,
    views: Annotated[int | None, typer.Option(help="Views, for a single phase.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="AdamW's.")] = None,
    objective: Annotated[str | None, typer.Option(help="simple or hybrid.")] = None,
    immiscible: Annotated[bool | None, typer.Option(help="Match noise to pictures.")] = None,
    seed: Annotated[int | None, typer.Option(help="All randomness derives from it.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None,
    until_stdin_closes: Annotated[
        bool, typer.Option(help="Save and end when stdin does, as when the parent dies.")
    ] = False,
) -> None:
    """Train a model on pictures. What is left out is as --config, or the run, or a default says."""
    if until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    from app.training.config import TrainConfig

    flags = {
        "data": _absolute(data),
        "held_out": _absolute(held_out),
        "init": init,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "objective": objective,
        "immiscible": immiscible,
        "seed": seed,
        "save_every": save_every,
    }
    known = _fields(config, out)
    fields = known | {name: v for name, v in flags.items() if v is not None}
    find, load = _models()
    # A run that goes on has no need of the model that it began with.
    if isinstance(fields.get("init"), str) and (init or config):
        files = find(fields["init"])
        fields["init"] = str(files.folder.resolve())
        known.setdefault("phases", [{"size": files.unet_config["sample_size"], "views": 100_000}])
        fields.setdefault("phases", known["phases"])
    if size is not None or views is not None:
        fields["phases"] = [_phase(known, size, views)]
    if "data" not in fields:
        raise StudioError("There are no pictures to train on.", "Name a folder with --data.")
    bars = not until_stdin_closes
    _train(TrainConfig.checked(fields), out, lambda name: load(find(name)), bars=bars)


def _end_with_stdin() -> None:
    """Wait until stdin's other end is closed, then end as by SIGTERM, at the latest by SIGKILL."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVING_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _phase(known: dict[str, Any], size: int | None, views: int | None) -> dict[str, int]:
    """A single phase; what isn't given is that of the last phase known."""
    phases = known.get("phases")
    last = phases[-1] if isinstance(phases, list) and phases else {}
    last = last if isinstance(last, dict) else {}
    return {
        "size": last.get("size", 64) if size is None else size,
        "views": last.get("views", 100_000) if views is None else views,
    }


def _fields(config: Path | None, out: Path) -> dict[str, Any]:
    """The settings in the file, or else in the run that is to go on."""
    from app.training.config import read_fields
    from app.training.opening import stored_config

    if config is None:
        return stored_config(out) or {}
    fields = read_fields(config)
    # A configuration's own paths are relative to where it lies.
    for name in ("data", "held_out", "titles"):
        if isinstance(fields.get(name), str):
            fields[name] = _absolute(config.parent / fields[name])
    if isinstance(fields.get("init"), str) and (config.parent / fields["init"]).is_dir():
        fields["init"] = _absolute(config.parent / fields["init"])
    labels = fields.get("labels")
    if isinstance(labels, dict) and isinstance(labels.get("manifest"), str):
        labels["manifest"] = _absolute(config.parent / labels["manifest"])
    return fields


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.expanduser().resolve())


def _models() -> "tuple[Callable[[str], ModelFiles], Callable[[ModelFiles], Trainee]]":
    """How a model is found by its id or folder, and how it is loaded."""
    from app.service.model_files import ModelFiles
    from app.service.models import ModelStore
    from app.service.trainees import load_trainee
    from app.settings import Settings

    def find(name: str) -> ModelFiles:
        if Path(name).is_dir():
            return ModelFiles(Path(name).resolve().name, Path(name))
        return ModelStore.of(Settings.from_environment()).find(name)

    return find, load_trainee


def _train(
    config: Any,  # noqa: ANN401
    out: Path,
    load_init: "Callable[[str], Trainee]",
    *,
    bars: bool,
) -> None:
    """Open the run, train it to its end or until a signal, and keep it."""
    import torch

    from app.engine.allocator import keep_freed_memory
    from app.engine.batcher import PROCESSORS
    from app.engine.devices import choose_device
    from app.settings import Settings
    from app.training.opening import open_run
    from app.training.processes import Processes

    keep_freed_memory()
    settings = Settings.from_environment()
    # Finding `init` by its id has made a Turns, which left this thread one processor.
    torch.set_num_threads(settings.threads or PROCESSORS)
    device = choose_device(settings.device)
    processes = Processes.join(device)
    bars = bars and processes.first
    if processes.first:
        typer.echo(config.to_json())

    def counter(total: int) -> Callable[[], object]:
        bar = tqdm(total=total, unit="picture", desc="decoding", disable=not bars)
        return bar.update

    try:
        with open_run(
            config,
            out,
            load_init=load_init,
            processes=processes,
            device=device,
            counter=counter,
        ) as run:
            finished = _follow(run, bars=bars)
            if processes.first:
                _report(run, finished)
                if finished:
                    typer.echo(run.index() or "Its novelty index is written.", err=True)
    finally:
        processes.leave()


def _follow(run: "Run", *, bars: bool) -> bool:
    """Train until the end, or until a signal in any process; whether the end was reached."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    run.is_stopping = lambda: stopping
    before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
    total, done = run.course.total_steps, run.learner.step
    try:
        with tqdm(total=total, initial=done, unit="step", desc="training", disable=not bars) as bar:
            for step in run.steps():
                run.after(step)
                bar.set_postfix_str(
                    f"loss {step.loss:.4f}, {step.pictures_per_second:.1f} pictures/s", False
                )
                bar.update()
                if run.processes.any(stopping):
                    run.save()
                    break
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return run.learner.step == total


def _report(run: "Run", finished: bool) -> None:
    for skipped in run.decoded.skipped:
        typer.echo(f"skipped {skipped.name}: {skipped.reason}", err=True)
    typer.echo(
        f"{'Finished' if finished else 'Stopped'} at step {run.learner.step} of "
        f"{run.course.total_steps}; the model is {run.folder / 'model'}."
    )
