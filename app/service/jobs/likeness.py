"""Did it copy? What a job painted, beside the pictures of its set that come nearest."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from app.errors import JobError
from app.service.jobs.job import Sample
from app.service.jobs.record import JobFolder
from app.service.model_files import ModelFiles
from app.service.models import LoadedModel, ModelStore
from app.service.novelty import model_features
from app.service.pictures import Pixels
from app.service.trainees import architecture_of
from app.training.config import TrainConfig, read_fields
from app.training.files import read_json
from app.training.indexing import index_model
from app.training.material import Found, decode_all, find
from app.training.novelty import Nearest, NoveltyIndex
from app.training.novelty_files import load_index
from app.training.opening import DATA


@dataclass(frozen=True, eq=False)
class Likeness:
    """A picture that a job painted, and the one that it was trained on that comes nearest.

    Attributes:
        sample: (S, S, 3).
        nearest: Which it is, and how near that is.
        file: The training picture.
    """

    sample: Pixels
    nearest: Nearest
    file: Path


def likenesses(
    folder: JobFolder, files: ModelFiles, sample: Sample, models: ModelStore
) -> tuple[Likeness, ...]:
    """The pictures of `sample`, each with the nearest one that the job is trained on.

    The model's index is built where it has none yet: half of its network looks at each picture.

    Raises:
        JobError: If there are too few pictures to tell, or a newer model took this one's place.
    """
    config = TrainConfig.checked(read_fields(folder.config))
    models.adopt(files)
    found = find(config)
    try:
        model = models.load(files.id)
        index = load_index(model.folder, model.weights) or _built(folder, files, model, found)
    except FileNotFoundError as error:
        raise JobError("A newer model took its place.", "Ask again.") from error
    skipped = {each["name"] for each in read_json(folder.run / DATA)["skipped"]}
    names = [name for name in found.training.names if name not in skipped]
    tiles = _tiles(sample, config.sample_count)
    return tuple(
        Likeness(tile, nearest, found.training.folder / names[nearest.row])
        for tile, nearest in zip(tiles, index.nearest(tiles, model_features(model)), strict=True)
    )


def _built(folder: JobFolder, files: ModelFiles, model: LoadedModel, found: Found) -> NoveltyIndex:
    config = TrainConfig.checked(read_fields(folder.config))
    architecture = architecture_of(files)
    decoded = decode_all(config, found, architecture, folder.path / "cache")
    titles = None if config.titles is None else Path(config.titles)
    why = index_model(
        model.folder, model, architecture, decoded, size=model.info.size, titles=titles
    )
    index = load_index(model.folder, model.weights)
    if index is None:
        raise JobError(f"What is nearest can't be told: {why}.", "Compare them by eye.")
    return index


def _tiles(sample: Sample, count: int) -> Pixels:
    """The `count` pictures of a sample grid, (count, S, S, 3)."""
    with Image.open(sample.path) as image:
        sheet = np.asarray(image.convert("RGB"))
    columns = math.ceil(math.sqrt(count))
    rows, side = -(-count // columns), sheet.shape[1] // columns
    tiles = sheet.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    return np.ascontiguousarray(tiles.reshape(rows * columns, side, side, 3)[:count])
