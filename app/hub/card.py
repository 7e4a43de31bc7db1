"""The card of a published model: its figures, its training and its use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from huggingface_hub import ModelCardData

from app.errors import HubError, JobError, StudioError
from app.files import read_json
from app.hub.repository import HubId
from app.jobs.record import JobFolder, root_model
from app.jobs.results import EXPORTS
from app.models.files import ModelFiles, ModelInfo
from app.training.config import TrainConfig, read_fields


@dataclass(frozen=True)
class ModelHistory:
    """The history of a model, as its card tells it: no paths, and no training pictures.

    Attributes:
        base_model: The id of the model that the training began with, or, if that was trained
            here as well, of the model at the root; empty if not known.
        pictures: The number of training pictures; None if not known.
        steps: The number of training steps; None if not known.
        settings: The training's settings as pairs of name and value.
        samples: The path of the run's newest sheet of samples; None if there is none.
    """

    base_model: str = ""
    pictures: int | None = None
    steps: int | None = None
    settings: tuple[tuple[str, str], ...] = ()
    samples: Path | None = None


def history_of(files: ModelFiles) -> ModelHistory:
    """Read the history of a model from the run around it; it is empty outside of a run."""
    folder = files.folder.resolve()
    run = folder.parent.parent
    if folder.parent.name != EXPORTS or not (run / "config.json").is_file():
        return ModelHistory()
    try:
        config = TrainConfig.checked(read_fields(run / "config.json"))
        data: dict[str, Any] = read_json(run / "data.json")
        step = int(folder.name)
    except (StudioError, OSError, ValueError):
        return ModelHistory()
    pictures = data.get("pictures")
    return ModelHistory(
        base_model=_base_of(run, config),
        pictures=pictures if isinstance(pictures, int) else None,
        steps=step,
        settings=_settings(config),
        samples=_newest_sample(run, step),
    )


def _base_of(run: Path, config: TrainConfig) -> str:
    """Return the id of a job's root model, or the name of the model another run began with."""
    if (run.parent / "job.json").is_file():
        job = JobFolder(run.parent)
        try:
            record = job.read()
            return record.root_model or root_model(job.path.parent, record.base_model)
        except JobError:
            return ""
    folder = Path(config.init or "")
    if folder.parent.name == EXPORTS:
        return history_of(ModelFiles(folder.name, folder)).base_model
    cached = folder.parent.parent.name  # models--owner--name/snapshots/commit in the Hub's cache
    if folder.parent.name == "snapshots" and cached.startswith("models--"):
        return cached.removeprefix("models--").replace("--", "/")
    # The name of the folder is public, but not its path on this machine.
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


LICENCES: Final = (
    *("cc-by-nc-4.0", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0"),
    *("apache-2.0", "mit", "openrail", "other"),
)
SAMPLES: Final = "samples.png"
TAGS: Final = ("diffusers", "ddpm", "unconditional-image-generation", "plein-air")


def card_text(
    target: HubId,
    info: ModelInfo,
    history: ModelHistory,
    *,
    licence: str,
    base_licence: str,
    weights: str,
) -> str:
    """Write the card of a model, the repository's README.md.

    Args:
        target: The repository that the model is published in.
        info: The description of the model.
        history: The history of the model.
        licence: The licence that the model is offered under, one of LICENCES.
        base_licence: The base model's licence; empty if not known.
        weights: The sha256 of the weights file.

    Raises:
        HubError: If the licence is none of LICENCES.
    """
    if licence not in LICENCES:
        none_yet = "The model has no licence yet, and its base model names none."
        what = f"{licence!r} is no licence that can be chosen." if licence else none_yet
        raise HubError(what, f"Choose one of: {', '.join(LICENCES)}.")
    # Only a model of the Hub can be linked; any other is named in the text.
    base = history.base_model.partition("@")[0]
    data = ModelCardData(
        license=licence,
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",
        base_model=base if "/" in base else None,
        tags=list(TAGS),
    )
    variance = "learned variance" if info.learned_variance else "fixed variance"
    space = ""
    if of := info.latent:
        space = f" of latents of {of.side} x {of.side} x {of.channels}, with its autoencoder"
    figures = [
        ("Network", f"`UNet2DModel`{space}, {info.parameters / 1e6:.1f} M parameters, {variance}"),
        ("Process", f"T = {info.num_train_timesteps}"),
        ("Weights", f"safetensors, sha256 `{weights}`"),
        ("Licence", licence + (f"; the base model's is {base_licence}" if base_licence else "")),
    ]
    head = f"---\n{data.to_yaml()}\n---"
    training = "## Training\n\n" + _table(_training(info, history))
    return "\n\n".join((head, _opening(target, info), _table(figures), training, _LIMITS)) + "\n"


def _opening(target: HubId, info: ModelInfo) -> str:
    name = target.repository
    classes = f" It knows {len(info.labels)} classes." if info.labels else ""
    pipeline = "LDMPipeline" if info.latent else "DDPMPipeline"
    # A network with classes needs labels, which diffusers' own pipeline doesn't pass.
    use = (
        "Paint with it in Plein Air, which asks for the class."
        if info.labels
        else f"    from diffusers import {pipeline}\n"
        f'    {pipeline}.from_pretrained("{name}")().images[0]'
    )
    return (
        f"# {name.partition('/')[2]}\n\n"
        f"A {'latent ' if info.latent else ''}denoising diffusion probabilistic model "
        "(Ho, Jain & Abbeel 2020, [arXiv 2006.11239](https://arxiv.org/abs/2006.11239)) that "
        f"paints {'grey ' if info.channels == 1 else ''}pictures of {info.size} x {info.size} "
        f"pixels.{classes} Made with Plein Air.\n\n![What it paints]({SAMPLES})\n\n{use}"
    )


def _training(info: ModelInfo, history: ModelHistory) -> list[tuple[str, str]]:
    rows = [("Base model", history.base_model or "none that is known")]
    pictures = "not known" if history.pictures is None else f"{history.pictures:,}"
    rows.append(("Pictures trained on", f"{pictures}; they are not part of this repository"))
    if info.labels:
        rows.append(("Classes", ", ".join(_plain(label) for label in info.labels)))
    if history.steps is not None:
        rows.append(("Steps", f"{history.steps:,}"))
    return [*rows, *history.settings]


_LIMITS: Final = (
    "## Limits\n\nIt paints what it was trained on and nothing else, and may come close to "
    "single pictures among them. It was not checked for anything beyond the samples above."
)


def _table(rows: list[tuple[str, str]]) -> str:
    lines = [f"| {_plain(name)} | {_plain(value)} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


def _plain(text: str) -> str:
    """Fit a person's own words into a table's cell: one line, without Markdown's bars or HTML."""
    return " ".join(text.split()).replace("|", "/").replace("<", "(").replace(">", ")")
