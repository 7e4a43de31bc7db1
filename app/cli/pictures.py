"""Parts that the commands which paint share: options, naming pictures, runs, saving files."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from PIL import Image
from tqdm import tqdm

from app.errors import PictureError, RecipeError
from app.fields import Fields
from app.images.reading import FITS, read_picture
from app.laboratory.experiment import DECODING_STEPS
from app.laboratory.laboratory import TimeEstimate
from app.models.files import ModelInfo
from app.painting.film import Films, Shown
from app.painting.recipe import Recipe
from app.painting.runs import LoadedRun
from app.painting.sources import PictureSource

PAINTED: Final = "seed:"
ClassName = Annotated[
    str | None, typer.Option("--class", help="The class by its name, instead of --label.")
]
PICTURE_HELP: Final = "A picture's file, or seed:N for the one that the model paints from seed N."


def way_back(variations: int) -> Fields:
    """Make the options of an experiment's reverse process, which is DDPM by default.

    Args:
        variations: The default number of pictures.
    """
    return Fields(
        Recipe,
        without=("eta",),
        everywhere=True,
        renamed={"pictures": "variations"},
        words={
            "steps": "Network steps from T to 0; a run from t takes a share.",
            "label": "The number of the class, of a model that has any; of seed:N too.",
        },
        defaults={
            "model": "impressionist-64",
            "sampler": "ddpm",
            "steps": DECODING_STEPS,
            "pictures": variations,
        },
    )


def chosen_class(label: int | None, name: str | None) -> int | str | None:
    """Return the class that --label or --class says.

    Raises:
        RecipeError: If both say one.
    """
    if label is not None and name is not None:
        raise RecipeError("The class is said twice.", "Leave --label or --class out.")
    return label if name is None else name


def source_named(word: str, info: ModelInfo, fit: str, label: int | str | None) -> PictureSource:
    """Return the source that `word` means: a picture's file, or "seed:N" of the class `label`.

    Raises:
        PictureError: If `word` is neither, or the file is not a usable picture.
    """
    if fit not in FITS:
        raise PictureError(f"There is no way {fit!r} to square.", "Choose crop or squash.")
    if word.startswith(PAINTED):
        number = word.removeprefix(PAINTED)
        if not number.isdecimal():
            raise PictureError(f"{word!r} names no seed.", "Write seed: and a whole number.")
        wish = {"model": info.id, "seed": int(number), "label": label}
        return PictureSource(painted=Recipe.checked(wish))
    return PictureSource.squared(opened(word), info.size, "squash" if fit == "squash" else "crop")


def opened(name: str) -> Image.Image:
    """Read a picture's file.

    Raises:
        PictureError: If it can't be opened, or is not a usable picture.
    """
    try:
        with Path(name).open("rb") as file:
            return read_picture(file)
    except OSError as error:
        raise PictureError(f"{name} can't be opened.", "Check the file's name.") from error


def watch(stream: Iterable[object], steps: int, what: str) -> None:
    """Exhaust `stream`, of about `steps` items, under a progress bar."""
    with tqdm(total=steps, unit="step", desc=what) as bar:
        for _ in stream:
            if bar.n < steps:
                bar.update()


def say_estimate(estimate: TimeEstimate) -> None:
    """Print how long a run will take."""
    typer.echo(
        f"{estimate.network_steps} network steps, about {estimate.seconds:.0f} s "
        f"({estimate.seconds_per_step * 1000:.0f} ms a step)"
    )


def save(folder: Path, name: str, data: bytes) -> None:
    """Write a file into `folder`, and print its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name.replace("/", "-")  # the name may begin with a Hub model's owner/name
    path.write_bytes(data)
    typer.echo(path)


def save_films(
    films: Films[Shown],
    run: Shown | LoadedRun[Shown],
    steps: int,
    what: str,
    out: Path,
    *,
    strip: bool = True,
    animation: bool = False,
) -> None:
    """Do a run of about `steps` steps, and write its pictures, their strips and animations."""
    watch(films.stream(run), steps, what)
    for result in films.pictures(run):
        save(out, f"{result.name}.png", result.png())
        if strip:
            save(out, f"{result.name}-strip.png", result.strip())
        if animation:
            save(out, f"{result.name}.gif", result.animation("gif"))


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Write a table as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return text.getvalue().encode()
