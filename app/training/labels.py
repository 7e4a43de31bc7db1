"""Class labels of pictures: from the sub-folders they lie in, or from a column of a manifest."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from app.errors import StudioError
from app.training.config import LabelConfig


@dataclass(frozen=True)
class Classes:
    """The classes of a run: `names`, sorted; the null label, "any", comes after them."""

    names: tuple[str, ...]

    @property
    def null_label(self) -> int:
        """The label that stands for "any"."""
        return len(self.names)


def find_classes(config: LabelConfig, pictures: Sequence[str]) -> Classes:
    """The classes that `config` finds for `pictures`, paths inside the data folder.

    Raises:
        StudioError: If there are none, or the manifest can't be used.
    """
    counts = Counter(class_names(config, pictures).values())
    names = tuple(sorted(c for c, count in counts.items() if count >= config.min_pictures))
    if not names:
        raise StudioError(
            f"No class has {config.min_pictures} pictures or more.",
            "Check where the labels come from, or train without labels.",
        )
    return Classes(names)


def label_pictures(config: LabelConfig, classes: Classes, pictures: Sequence[str]) -> Tensor:
    """The labels of `pictures`, (N,) int64; the null label where one has none of `classes`."""
    numbers = {name: i for i, name in enumerate(classes.names)}
    named = class_names(config, pictures)
    null = classes.null_label
    return torch.tensor([numbers.get(named.get(p, ""), null) for p in pictures])


def class_names(config: LabelConfig, pictures: Sequence[str]) -> dict[str, str]:
    """The class of each of `pictures`, paths inside the data folder, that has one.

    Raises:
        StudioError: If the manifest can't be used.
    """
    if config.source == "manifest":
        return _from_manifest(config, pictures)
    folders = {p: PurePosixPath(p).parent.as_posix() for p in pictures}
    return {p: folder for p, folder in folders.items() if folder != "."}


def _from_manifest(config: LabelConfig, pictures: Sequence[str]) -> dict[str, str]:
    path = Path(config.manifest or "")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            for column in (config.file_column, config.column):
                if column not in columns:
                    raise StudioError(
                        f"The manifest {path} has no column {column!r}.",
                        f"It has: {', '.join(columns)}.",
                    )
            rows = [(row[config.file_column], row[config.column or ""]) for row in reader]
    except (OSError, UnicodeError, csv.Error) as error:
        raise StudioError(f"The manifest {path} can't be read: {error}.", "Give a CSV.") from error
    listed = {name: value.strip() for name, value in rows if name and value and value.strip()}
    # A manifest may list paths inside the folder, or names alone.
    found = {p: listed.get(p) or listed.get(PurePosixPath(p).name) for p in pictures}
    return {picture: value for picture, value in found.items() if value}
