"""A check for copying: a job's samples beside the training pictures nearest to them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.errors import JobError
from app.files import read_json
from app.images.arrays import Pixels
from app.images.reading import own_picture
from app.images.sheets import untiled
from app.jobs.job import SampleGrid
from app.jobs.record import JobFolder
from app.models.files import ModelFiles
from app.models.loading import LoadedModel
from app.models.store import ModelStore
from app.novelty.index import Nearest, NoveltyIndex, load_index
from app.novelty.nearest import model_features
from app.training.architecture import architecture_of
from app.training.config import TrainConfig, read_fields
from app.training.data import Found, decode_all, find
from app.training.novelty_index import index_model, why_no_index
from app.training.resume import DATA


@dataclass(frozen=True, eq=False)
class CopyCheck:
    """A picture that a job painted, and the training picture nearest to it.

    Attributes:
        sample: The picture that the job painted, (S, S, 3).
        nearest: The nearest training picture's row, and how near it is.
        file: The training picture.
    """

    sample: Pixels
    nearest: Nearest
    file: Path


def why_no_likeness(folder: JobFolder) -> str:
    """Say why the job's samples can't be compared, however long it goes on; "" if they can."""
    path = folder.run / DATA
    return why_no_index(read_json(path)["pictures"]) if path.is_file() else ""


def likenesses(
    folder: JobFolder, files: ModelFiles, sample: SampleGrid, models: ModelStore
) -> tuple[CopyCheck, ...]:
    """Pair each picture of `sample` with the nearest picture that the job is trained on.

    The novelty index is built if the model has none yet, which runs half of the network on each
    training picture.

    Raises:
        JobError: If there are too few pictures for an index, or a newer model replaced this one.
    """
    config = TrainConfig.checked(read_fields(folder.config))
    models.adopt(files)
    found = find(config)
    try:
        model = models.load(files.id)
        index = load_index(model.folder, model.weights) or _built(
            folder, config, files, model, found
        )
    except FileNotFoundError as error:
        raise JobError("A newer model took its place.", "Ask again.") from error
    skipped = {each["name"] for each in read_json(folder.run / DATA)["skipped"]}
    names = [name for name in found.training.names if name not in skipped]
    tiles = untiled(np.asarray(own_picture(sample.path)), config.sample_count)
    return tuple(
        CopyCheck(tile, nearest, found.training.folder / names[nearest.row])
        for tile, nearest in zip(tiles, index.nearest(tiles, model_features(model)), strict=True)
    )


def _built(
    folder: JobFolder, config: TrainConfig, files: ModelFiles, model: LoadedModel, found: Found
) -> NoveltyIndex:
    architecture = architecture_of(files)
    decoded = decode_all(config, found, architecture, folder.path / "cache")
    why = index_model(
        model.folder,
        model.features,
        architecture,
        decoded,
        weights=model.weights,
        size=model.info.size,
        titles=config.titles,
    )
    index = load_index(model.folder, model.weights)
    if index is None:
        raise JobError(f"What is nearest can't be told: {why}.", "Compare them by eye.")
    return index
