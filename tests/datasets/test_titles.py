"""Reference pictures: what is read, what is skipped, what is refused, what they are called."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.datasets.folder import load_reference
from app.datasets.labels import Painting, paintings
from app.errors import StudioError
from app.images.reading import Fit
from tests.training.pictures import landscapes, save_pictures


def test_pictures_are_read_from_nested_folders_in_order(tmp_path: Path) -> None:
    made = landscapes(3)
    save_pictures(tmp_path / "b", made[:2])
    save_pictures(tmp_path / "a", made[2:])
    (tmp_path / "notes.txt").write_text("no picture")
    read = load_reference(tmp_path, 16)
    assert [name[0] for name in read.files] == ["a", "b", "b"]
    assert np.array_equal(read.pixels, made[[2, 0, 1]])
    assert read.skipped == ()


@pytest.mark.parametrize(("fit", "box"), [("squash", None), ("crop", (16, 0, 48, 32))])
def test_a_wide_picture_is_squashed_or_cropped(
    fit: Fit, box: tuple[int, int, int, int] | None, tmp_path: Path
) -> None:
    wide = Image.fromarray(landscapes(1, 64)[0]).crop((0, 0, 64, 32))
    wide.save(tmp_path / "wide.png")
    expected = np.asarray(wide.resize((16, 16), Image.Resampling.LANCZOS, box=box))
    assert np.array_equal(load_reference(tmp_path, 16, fit=fit).pixels[0], expected)


def test_a_grey_model_gets_grey_pictures(tmp_path: Path) -> None:
    pixels = load_reference(save_pictures(tmp_path, landscapes(2)), 16, channels=1).pixels
    assert np.ptp(pixels, axis=-1).max() == 0


def test_broken_pictures_are_skipped_and_named(tmp_path: Path) -> None:
    save_pictures(tmp_path, landscapes(3))
    whole = next(tmp_path.glob("*00*")).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    read = load_reference(tmp_path, 16)
    assert [skipped.name for skipped in read.skipped] == ["cut.png", "empty.jpg"]
    assert len(read.pixels) == len(read.files) == 3


def test_missing_empty_small_and_broken_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="no folder"):
        load_reference(tmp_path / "missing", 16)
    with pytest.raises(StudioError, match="no picture in"):
        load_reference(tmp_path, 16)
    save_pictures(tmp_path, landscapes(2))
    with pytest.raises(StudioError, match="has 2 pictures, and 3 are needed"):
        load_reference(tmp_path, 16, least=3)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(StudioError, match=r"Only 2 pictures .* broken\.png, for one: it can't"):
        load_reference(tmp_path, 16, least=3)


def test_paintings_are_called_as_the_manifest_says_or_by_their_files(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(
        "file,artist,title\n"
        "a.jpg,theo-van-rysselberghe,the-artist-s-garden-1904\n"
        "b.jpg,claude-monet,porte-d-aval\n"
        "y/c.jpg,claude-monet,mist\n"
    )
    assert paintings(["x/a.jpg", "b.jpg", "view_of-the-sea.png"], manifest) == (
        Painting("The artist's garden, 1904", "Theo van Rysselberghe"),
        Painting("Porte d'aval", "Claude Monet"),
        Painting("View of the sea", ""),
    )
    # A name that two files have says nothing of either.
    assert paintings(["x/a.jpg", "y/a.jpg", "x/c.jpg", "y/c.jpg"], manifest) == (
        Painting("A", ""),
        Painting("A", ""),
        Painting("C", ""),
        Painting("Mist", "Claude Monet"),
    )


@pytest.mark.parametrize("text", ["name,artist\na.jpg,x\n", "file,artist,title\na.jpg,x\n"])
def test_a_manifest_without_its_columns_is_refused(tmp_path: Path, text: str) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(text)
    with pytest.raises(StudioError, match="lacks a column"):
        paintings(["a.jpg"], manifest)
    with pytest.raises(StudioError, match="can't be read"):
        paintings(["a.jpg"], tmp_path / "missing.csv")
