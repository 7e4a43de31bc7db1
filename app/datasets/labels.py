"""Class labels, titles and artists of pictures: from a manifest, or from folders and names."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from app.errors import StudioError


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class LabelConfig(_Strict):
    """The source of class labels.

    Attributes:
        source: "folders": the sub-folder of the data that a picture lies in; "manifest": a CSV.
        manifest: The CSV file, with a header.
        column: Its column with the class, such as artist or genre; or several, and then each view
            of a picture shows one of its classes.
        file_column: Its column with the picture's name, or path inside the data folder.
        without: Values that are no classes.
        spelled: Whether to spell the values out: "claude-monet" becomes "Claude Monet".
        dropout: The share of pictures shown with the null label instead of their own, so that
            the network can be guided (Ho & Salimans 2022).
        min_pictures: A class of fewer pictures gets the null label.
        rarity: Of a picture's classes, one of n pictures is shown with a probability in proportion
            to n to the power of minus this, so that rare ones are seen.
    """

    source: Literal["folders", "manifest"]
    manifest: str | None = None
    column: str | tuple[str, ...] | None = None
    file_column: str = "file"
    without: tuple[str, ...] = ()
    spelled: bool = False
    dropout: float = Field(default=0.1, ge=0, lt=1)
    min_pictures: int = Field(default=1, ge=1)
    rarity: float = Field(default=0.5, ge=0, le=2)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.source == "manifest" and not (self.manifest and self.column):
            raise ValueError("labels from a manifest need `manifest` and `column`")
        if self.source == "folders" and (self.manifest or self.column):
            raise ValueError("labels from folders take no `manifest` and no `column`")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The manifest's columns with classes."""
        return (self.column,) if isinstance(self.column, str) else self.column or ()


@dataclass(frozen=True)
class Classes:
    """The classes of a run: `names`, sorted; the null label, "any", comes after them.

    Attributes:
        names: Their names.
        pictures: How many pictures each has.
    """

    names: tuple[str, ...]
    pictures: tuple[int, ...]

    @property
    def null_label(self) -> int:
        """The label that stands for "any"."""
        return len(self.names)


def unlabelled(pictures: int, null_label: int) -> "PictureLabels":
    """Return the labels of so many `pictures` without a class."""
    labels = torch.full((pictures, 1), null_label)
    return PictureLabels(labels, torch.ones(pictures, 1), null_label)


@dataclass(frozen=True, eq=False)
class PictureLabels:
    """The labels of N pictures, of up to K each.

    Attributes:
        labels: (N, K) int64, each picture's from its rarest on, then the null label.
        shares: (N, K) float32, the probability that a picture is shown with one of its labels up
            to this one, unless with the null label.
        null_label: The label that stands for "any".
    """

    labels: Tensor
    shares: Tensor
    null_label: int

    @property
    def rarest(self) -> Tensor:
        """The rarest of each picture's labels, (N,)."""
        return self.labels[:, 0]

    def drawn(self, pictures: Tensor, draws: Tensor, unlabelled: Tensor) -> Tensor:
        """Choose a label of each of `pictures`.

        Args:
            pictures: (B,) int64, the pictures' numbers.
            draws: (B,) uniform in [0, 1), by which of its labels one is chosen.
            unlabelled: (B,) bool, which get the null label.

        Returns:
            (B,) int64.
        """
        place = torch.searchsorted(self.shares[pictures], draws[:, None], right=True)
        place = place.clamp(max=self.labels.shape[1] - 1)
        labels = self.labels[pictures].gather(1, place)[:, 0]
        return labels.masked_fill(unlabelled, self.null_label)


def find_classes(config: LabelConfig, pictures: Sequence[str]) -> Classes:
    """Find the classes of `pictures`, paths inside the data folder, as `config` says.

    Raises:
        StudioError: If there are no classes, or the manifest can't be used.
    """
    counts = Counter(chain.from_iterable(class_names(config, pictures).values()))
    names = tuple(sorted(c for c, count in counts.items() if count >= config.min_pictures))
    if not names:
        raise StudioError(
            f"No class has {config.min_pictures} pictures or more.",
            "Check where the labels come from, or train without labels.",
        )
    return Classes(names, tuple(counts[name] for name in names))


def label_pictures(config: LabelConfig, classes: Classes, pictures: Sequence[str]) -> PictureLabels:
    """Label `pictures`; one that has none of `classes` has the null label."""
    named = class_names(config, pictures)
    sizes = dict(zip(classes.names, classes.pictures, strict=True))
    own = [sorted(sizes.keys() & named.get(p, ()), key=lambda c: (sizes[c], c)) for p in pictures]
    longest = max(1, *map(len, own))
    labels = torch.full((len(own), longest), classes.null_label)
    weights = torch.zeros(len(own), longest)
    for i, names in enumerate(own):
        for k, name in enumerate(names):
            labels[i, k] = classes.names.index(name)
            weights[i, k] = sizes[name] ** -config.rarity
    totals = weights.sum(1, keepdim=True)
    shares = torch.where(totals > 0, weights.cumsum(1) / totals, torch.ones(()))
    return PictureLabels(labels, shares, classes.null_label)


def class_names(config: LabelConfig, pictures: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the classes of each of `pictures`, paths inside the data folder, that has any.

    Raises:
        StudioError: If the manifest can't be used.
    """
    if config.source == "manifest":
        found = _from_manifest(config, pictures)
    else:
        folders = {p: PurePosixPath(p).parent.as_posix() for p in pictures}
        found = {p: (folder,) for p, folder in folders.items() if folder != "."}
    kept = {p: tuple(v for v in values if v not in config.without) for p, values in found.items()}
    spell = _name if config.spelled else str
    return {p: tuple(map(spell, values)) for p, values in kept.items() if values}


def _from_manifest(config: LabelConfig, pictures: Sequence[str]) -> dict[str, tuple[str, ...]]:
    path = Path(config.manifest or "")
    columns, table = _read_manifest(path)
    for column in (config.file_column, *config.columns):
        if column not in columns:
            raise StudioError(
                f"The manifest {path} has no column {column!r}.", f"It has: {', '.join(columns)}."
            )
    rows = (
        (row[config.file_column], [(row[column] or "").strip() for column in config.columns])
        for row in table
    )
    listed = {name: tuple(filter(None, values)) for name, values in rows if name and any(values)}
    # A manifest may list paths inside the folder, or file names alone.
    return {p: listed.get(p) or listed.get(PurePosixPath(p).name, ()) for p in pictures}


def _read_manifest(path: Path) -> tuple[Sequence[str], list[dict[str, str]]]:
    """Read the names of the columns of a CSV file, and its rows."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            return reader.fieldnames or (), list(reader)
    except (OSError, UnicodeError, csv.Error) as error:
        raise StudioError(f"The manifest {path} can't be read: {error}.", "Give a CSV.") from error


PARTICLES: Final = ("de", "der", "du", "van", "von")


@dataclass(frozen=True)
class Painting:
    """A picture's title and artist; `artist` is empty where nobody is named."""

    title: str
    artist: str


def paintings(files: Sequence[str], manifest: Path | None = None) -> tuple[Painting, ...]:
    """Return the title and artist of each of `files`, from the manifest or else from its name.

    The manifest may list paths as in `files`, or file names alone where they are unique.

    Raises:
        StudioError: If the manifest can't be read or lacks one of the columns.
    """
    named = {} if manifest is None else _named(manifest)
    names = Counter(Path(file).name for file in files)

    def called(file: str) -> Painting:
        path = Path(file)
        by_name = named.get(path.name) if names[path.name] == 1 else None
        return named.get(file) or by_name or Painting(_spoken(path.stem), "")

    return tuple(map(called, files))


def _named(manifest: Path) -> dict[str, Painting]:
    _, rows = _read_manifest(manifest)
    try:
        return {row["file"]: Painting(_spoken(row["title"]), _name(row["artist"])) for row in rows}
    except (KeyError, AttributeError) as error:
        raise StudioError(
            f"The manifest {manifest} lacks a column or a value.",
            "It needs the columns file, artist and title.",
        ) from error


def _spoken(slug: str) -> str:
    """Spell out a title: "the-artist-s-garden-1897" becomes "The artist's garden, 1897"."""
    words = slug.replace("-", " ").replace("_", " ").strip()
    words = re.sub(r"(?<=\w) s\b", "'s", words)
    words = re.sub(r"\b([dl]) (?=[aeiouh])", r"\1'", words)
    words = re.sub(r"^(.*\D) (1[5-9]\d\d|20\d\d)$", r"\1, \2", words)
    return words[:1].upper() + words[1:]


def _name(slug: str) -> str:
    """Spell out an artist's name: "theo-van-rysselberghe" becomes "Theo van Rysselberghe"."""
    words = slug.replace("-", " ").split()
    return " ".join(w if w in PARTICLES else w[:1].upper() + w[1:] for w in words)
