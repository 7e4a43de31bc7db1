"""What the laboratories' commands share: pictures named in a shell, progress bars, files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import typer
from tqdm import tqdm

from app.errors import PictureError

if TYPE_CHECKING:
    from app.service.laboratory.experiment import Source
    from app.service.models import ModelInfo

PAINTED: Final = "seed:"
PICTURE_HELP: Final = "A picture's file, or seed:N for the one that the model paints from seed N."
LABEL_HELP: Final = "The class, where the model has any; of seed:N too."

Item = TypeVar("Item")


def source_named(word: str, info: "ModelInfo", fit: str, label: int | None) -> "Source":
    """The source that `word` means: a picture's file, or "seed:N" of the class `label`.

    Raises:
        PictureError: If it is neither, or the file is no picture that can be used.
    """
    from app.service.laboratory.experiment import Source
    from app.service.recipe import Recipe
    from app.service.uploads import FITS, read_picture

    if fit not in FITS:
        raise PictureError(f"There is no way {fit!r} to square.", "Choose crop or squash.")
    if word.startswith(PAINTED):
        number = word.removeprefix(PAINTED)
        if not number.isdecimal():
            raise PictureError(f"{word!r} names no seed.", "Write seed: and a whole number.")
        wish = {"model": info.id, "seed": int(number), "label": label}
        return Source(painted=Recipe.checked(wish))
    try:
        with Path(word).open("rb") as file:
            picture = read_picture(file)
    except OSError as error:
        raise PictureError(f"{word} can't be opened.", "Check the file's name.") from error
    return Source.squared(picture, info.size, "squash" if fit == "squash" else "crop")


def watched(stream: Iterable[Item], steps: int, what: str) -> Iterator[Item]:
    """Pass on `stream`, whose items are about as many as `steps`, under a progress bar."""
    with tqdm(total=steps, unit="step", desc=what) as bar:
        for item in stream:
            if bar.n < steps:
                bar.update()
            yield item


def save(folder: Path, name: str, data: bytes) -> None:
    """Write a file and say where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name.replace("/", "-")  # it may begin with a Hub model's owner/name
    path.write_bytes(data)
    typer.echo(path)
