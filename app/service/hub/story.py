"""How a model came about, told from the run that its folder lies in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.errors import JobError, StudioError
from app.service.jobs.record import JobFolder, root_model
from app.service.model_files import ModelFiles
from app.training.config import TrainConfig, read_fields
from app.training.files import read_json

EXPORTS: Final = "exports"
"""Where a run keeps its models."""


@dataclass(frozen=True)
class Story:
    """What a model's card tells of its making; nothing of it is a path or a picture.

    Attributes:
        base_model: The id of the model that the training began with, or where that was trained
            here, too, of the one that it all began with; empty if none is known.
        pictures: How many pictures it was trained on; None where that isn't known.
        steps: Steps trained; None where that isn't known.
        settings: The training's settings by name.
        samples: A sheet of what it paints, from the run; None where there is none.
    """

    base_model: str = ""
    pictures: int | None = None
    steps: int | None = None
    settings: tuple[tuple[str, str], ...] = field(default=())
    samples: Path | None = None


def story_of(files: ModelFiles) -> Story:
    """What the run around `files` tells; an empty story where the folder lies in no run."""
    folder = files.folder.resolve()
    run = folder.parent.parent
    if folder.parent.name != EXPORTS or not (run / "config.json").is_file():
        return Story()
    try:
        config = TrainConfig.checked(read_fields(run / "config.json"))
        data: dict[str, Any] = read_json(run / "data.json")
        step = int(folder.name)
    except (StudioError, OSError, ValueError):
        return Story()
    pictures = data.get("pictures")
    return Story(
        base_model=_base_of(run, config),
        pictures=pictures if isinstance(pictures, int) else None,
        steps=step,
        settings=_settings(config),
        samples=_newest_sample(run, step),
    )


def _base_of(run: Path, config: TrainConfig) -> str:
    """A job keeps the id of the model it all began with; another run knows what its was called."""
    if (run.parent / "job.json").is_file():
        job = JobFolder(run.parent)
        try:
            record = job.read()
            return record.root_model or root_model(job.path.parent, record.base_model)
        except JobError:
            return ""
    folder = Path(config.init or "")
    if folder.parent.name == EXPORTS:
        return story_of(ModelFiles(folder.name, folder)).base_model
    cached = folder.parent.parent.name  # models--owner--name/snapshots/commit in the Hub's cache
    if folder.parent.name == "snapshots" and cached.startswith("models--"):
        return cached.removeprefix("models--").replace("--", "/")
    # A folder's name is told, not where on the machine it is.
    return folder.name


def _settings(config: TrainConfig) -> tuple[tuple[str, str], ...]:
    phases = ", ".join(f"{phase.views:,} views at {phase.size} px" for phase in config.phases)
    return (
        ("pictures seen", phases),
        ("batch size", str(config.batch_size)),
        ("learning rate", f"{config.learning_rate:g}"),
        ("objective", str(config.objective)),
        ("precision", str(config.precision)),
        ("seed", str(config.seed)),
    )


def _newest_sample(run: Path, step: int) -> Path | None:
    found = [path for path in (run / "samples").glob("[0-9]*.png") if int(path.stem) <= step]
    return max(found, key=lambda path: int(path.stem), default=None)
