"""`python -m app train`: train a model on a folder of pictures, or go on with a run."""

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from tqdm import tqdm

from app.errors import StudioError
from app.settings import Settings

if TYPE_CHECKING:
    from app.models.autoencoders import AutoencoderFiles
    from app.models.files import ModelFiles
    from app.training.config import TrainConfig
    from app.training.run import Run

SAVING_SECONDS: Final = 4.5

REMAINING_SIGNAL: Final = 0.01
"""The alpha_bar at T beyond which a schedule is warned of."""


def command(
    out: Annotated[Path, typer.Option(help="The run's folder; an existing run goes on.")],
    data: Annotated[Path | None, typer.Option(help="A folder of pictures.")] = None,
    stage: Annotated[
        bool, typer.Option("--stage", help="Train a second stage, which enlarges by four.")
    ] = False,
    autoencoder: Annotated[
        bool, typer.Option("--autoencoder", help="Train an autoencoder, for a latent model.")
    ] = False,
    latent: Annotated[
        str | None,
        typer.Option(help="Train in the latent space of an autoencoder, or a model's: its folder."),
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="A model's or stage's id or folder to start from.")
    ] = None,
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
    from app.training.resume import stored_config

    flags = {
        "data": _absolute(data),
        "held_out": _absolute(held_out),
        "latent": latent and _absolute(Path(latent)),
        "init": init,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "objective": objective,
        "immiscible": immiscible,
        "seed": seed,
        "save_every": save_every,
    }
    stored = stored_config(out) or {}
    known = fields_in(config) if config else stored
    fields = known | {name: v for name, v in flags.items() if v is not None}
    for kind, asked in (("stage", stage), ("autoencoder", autoencoder)):
        if asked and fields.get(kind) is None:
            fields[kind] = {}
    # A run that is resumed doesn't need the model that it began with, which may be gone.
    if isinstance(begun := fields.get("init"), str) and (init or config):
        _begin_with(begun, fields, known, stored)
    _complete_phases(fields, known)
    if size is not None or views is not None:
        fields["phases"] = [_phase(known, size, views)]
    if "data" not in fields:
        raise StudioError("There are no pictures to train on.", "Name a folder with --data.")
    _train(TrainConfig.checked(fields), out, bars=not until_stdin_closes)


def _begin_with(
    init: str, fields: dict[str, Any], known: dict[str, Any], stored: dict[str, Any]
) -> None:
    """Find the model `init`, and complete `fields` and what is `known` by its own size and T."""
    from app.models.files import ModelFiles
    from app.training.config import TrainConfig

    staged, encodes = (fields.get(kind) is not None for kind in ("stage", "autoencoder"))
    if not Path(init).exists() and str(Path(init).resolve()) == stored.get("init"):
        fields["init"], phases = stored["init"], stored["phases"]
    else:
        files = _find(init, staged=staged, encodes=encodes)
        fields["init"] = str(files.folder.resolve())
        if not isinstance(files, ModelFiles):
            return
        side = files.unet_config["sample_size"]
        if files.autoencoder:
            fields.setdefault("latent", str(files.folder.resolve()))
            side *= files.autoencoder.factor
        phases = [{"size": side, "views": 100_000}]
        total = files.scheduler_config["num_train_timesteps"]
        if not staged and total < TrainConfig.model_fields["sample_steps"].default:
            fields.setdefault("sample_steps", total)
    if not staged and not encodes:
        known.setdefault("phases", phases)
        fields.setdefault("phases", known["phases"])


def _complete_phases(fields: dict[str, Any], known: dict[str, Any]) -> None:
    """Complete the phases that are `known`, and a latent model's own, by what is trained."""
    from app.models.autoencoders import autoencoder_files
    from app.training.autoencoder_config import autoencoder_defaults
    from app.training.stage_config import stage_defaults

    latent = fields.get("latent")
    if fields.get("stage") is not None:
        recipe = stage_defaults(begun=fields.get("init") is not None)
        known.setdefault("phases", recipe["phases"][:1])
    elif fields.get("autoencoder") is not None:
        known.setdefault("phases", autoencoder_defaults()["phases"][:1])
    elif isinstance(latent, str) and "phases" not in fields:
        side = autoencoder_files("the autoencoder", Path(latent)).config.get("sample_size", 64)
        fields["phases"] = known["phases"] = [{"size": side, "views": 400_000}]


def _end_with_stdin() -> None:
    """Wait until stdin is closed, then end this process by SIGTERM, or by SIGKILL in the end."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVING_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _phase(known: dict[str, Any], size: int | None, views: int | None) -> dict[str, Any]:
    """Make a single phase; a size or views not given are those of the last phase known."""
    phases = known.get("phases")
    last = phases[-1] if isinstance(phases, list) and phases else {}
    last = last if isinstance(last, dict) else {}
    return last | {
        "size": last.get("size", 64) if size is None else size,
        "views": last.get("views", 100_000) if views is None else views,
    }


def fields_in(config: Path) -> dict[str, Any]:
    """Read the settings from a file; paths in it are relative to its folder."""
    from app.training.config import read_fields

    fields = read_fields(config)
    for name in ("data", "held_out", "titles", "latent"):
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


def _find(name: str, *, staged: bool, encodes: bool) -> "ModelFiles | AutoencoderFiles":
    """Find a model or a second stage by its folder or its id, or an autoencoder by its folder."""
    from app.models.autoencoders import autoencoder_files
    from app.models.files import ModelFiles
    from app.models.stages import StageFiles
    from app.studio import StudioModels

    own = Path(name).resolve().name
    if encodes:
        if not Path(name).is_dir():
            raise StudioError(f"There is no folder {name}.", "Name an autoencoder's folder.")
        return autoencoder_files(own, Path(name))
    if Path(name).is_dir():
        kind = StageFiles if staged else ModelFiles
        return kind(own, Path(name))
    models = StudioModels(Settings.from_environment())
    return models.find_stage(name) if staged else models.find(name)


def _train(config: "TrainConfig", out: Path, *, bars: bool) -> None:
    """Open the run, train it to its end or until a signal, and save it."""
    import torch

    from app.networks.devices import choose_device
    from app.networks.executor import PROCESSORS
    from app.networks.machine import keep_freed_memory
    from app.training.architecture import load_initial_model
    from app.training.distributed import Processes
    from app.training.resume import open_run

    keep_freed_memory()
    settings = Settings.from_environment()
    # Finding `init` by its id made a DeviceExecutor, which left this thread only one processor.
    torch.set_num_threads(settings.threads or PROCESSORS)
    device = choose_device(settings.device)
    processes = Processes.join(device)
    bars = bars and processes.first
    if processes.first:
        typer.echo(config.to_json())
        if config.schedule and (kept := config.schedule.remaining_signal) > REMAINING_SIGNAL:
            typer.echo(
                f"warning: x_T keeps {kept:.0%} of the picture's variance, and sampling begins "
                "with noise that keeps nothing. Raise beta_end, in proportion to 1 / T, or T.",
                err=True,
            )
    decoding = partial(tqdm, unit="picture", desc="decoding", disable=not bars)
    try:
        with open_run(
            config,
            out,
            load_init=lambda name: load_initial_model(
                _find(
                    name,
                    staged=config.stage is not None,
                    encodes=config.autoencoder is not None,
                )
            ),
            processes=processes,
            device=device,
            counter=lambda total: decoding(total=total).update,
        ) as run:
            finished = _follow(run, bars=bars)
            if processes.first:
                _report(run, finished)
                if finished:
                    typer.echo(run.index() or "Its novelty index is written.", err=True)
    finally:
        processes.leave()


def _follow(run: "Run", *, bars: bool) -> bool:
    """Train until the end, or a signal in any process; tell whether the end was reached."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    run.is_stopping = lambda: stopping
    before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
    total, done = run.config.total_steps, run.state.step
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
    return run.state.step == total


def _report(run: "Run", finished: bool) -> None:
    for skipped in run.decoded.skipped:
        typer.echo(f"skipped {skipped.name}: {skipped.reason}", err=True)
    typer.echo(
        f"{'Finished' if finished else 'Stopped'} at step {run.state.step} of "
        f"{run.config.total_steps}; the model is {run.folder / 'model'}."
    )
