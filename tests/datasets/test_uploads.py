"""Uploads become sets: each kept once, seen by those who brought it, whatever is in the files."""

import csv
import io
import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.datasets import ingest
from app.datasets.ingest import MAX_SIDE
from app.datasets.uploads import VISITOR_SECONDS, Sets, Upload
from app.errors import StudioError, UploadError
from app.images.reading import Fit
from app.settings import Settings
from tests.images import profiles
from tests.images.test_reading import declared
from tests.training.tiny import save_pictures


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", single_user=False)


def uploads(folder: Path, count: int = 5) -> list[Upload]:
    files = sorted(save_pictures(folder, count).rglob("*.png"))
    return [Upload(path, path.name) for path in files]


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def zipped(folder: Path, path: Path) -> Upload:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    return Upload(path, "my pictures.zip")


def test_pictures_are_squared_and_the_unusable_named(settings: Settings, tmp_path: Path) -> None:
    files = uploads(tmp_path / "in")
    Image.new("RGB", (600, 400), (0, 0, 255)).save(tmp_path / "wide.jpg")
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "huge.png").write_bytes(declared(60_000, 60_000))
    Image.new("L", (15, 40)).save(tmp_path / "small.png")
    for name in ("wide.jpg", "text.txt", "huge.png", "small.png"):
        files.append(Upload(tmp_path / name, name))
    files.append(replace(files[0], name="../again.png"))

    kept = Sets(settings).add("me", files)
    assert len(kept) == 6
    sizes = sorted(size(path) for path in kept.files)
    assert sizes == [(20, 20)] * 5 + [(MAX_SIDE, MAX_SIDE)]
    assert [name for name, _ in kept.skipped] == [
        "text.txt", "huge.png", "small.png", "../again.png"
    ]  # fmt: skip
    reasons = dict(kept.skipped)
    assert "no picture" in reasons["text.txt"]
    assert "60,000 x 60,000 pixels" in reasons["huge.png"]
    assert "fewer than 16" in reasons["small.png"]
    assert reasons["../again.png"] == f"it is the same as {files[0].name}"


def test_a_sets_pictures_are_in_srgb_and_have_no_profile(
    settings: Settings, tmp_path: Path
) -> None:
    image = Image.new("RGB", (40, 40), (200, 100, 90))
    image.save(tmp_path / "p3.png", icc_profile=profiles.display_p3())
    files = [*uploads(tmp_path / "in"), Upload(tmp_path / "p3.png", "p3.png")]
    kept = Sets(settings).add("me", files)
    stored = kept.files[kept.names.index("p3.png")]
    with Image.open(stored) as image:
        assert image.getpixel((20, 20)) == pytest.approx((216, 93, 84), abs=2)
        assert image.info == {}


def test_the_same_upload_is_kept_once_for_all_who_bring_it(
    settings: Settings, tmp_path: Path
) -> None:
    sets, files = Sets(settings), uploads(tmp_path / "in")
    mine = sets.add("me", files)
    theirs = sets.add("them", [zipped(tmp_path / "in", tmp_path / "a.zip")])
    assert mine.id == theirs.id
    assert sets.add("me", files, "squash").id != mine.id
    assert len(sets.list("me")) == 2
    assert len(sets.list("them")) == 1
    with pytest.raises(UploadError, match="no such set"):
        sets.show("nobody", mine.id)
    sets.release(mine.id, "me")
    assert sets.show("them", mine.id).folder.is_dir()
    sets.release(mine.id, "them")
    assert not mine.folder.exists()


def test_who_brings_equal_pictures_learns_nothing_of_others_names(
    settings: Settings, tmp_path: Path
) -> None:
    sets, files = Sets(settings), uploads(tmp_path / "in")
    (tmp_path / "text.txt").write_text("no picture")
    secret = [replace(each, name=f"secret {i}.png") for i, each in enumerate(files)]
    mine = sets.add("me", [*secret, Upload(tmp_path / "text.txt", "secret.txt")])
    theirs = sets.add("them", files)
    assert (mine.id, mine.folder) == (theirs.id, theirs.folder)
    assert set(theirs.names) == {each.name for each in files}
    assert theirs.skipped == ()
    assert "secret" not in theirs.titles.read_text()
    [again] = sets.list("me")
    assert again == mine
    assert set(mine.names) == {each.name for each in secret}
    assert [name for name, _ in mine.skipped] == ["secret.txt"]

    job = sets.hold(theirs, "job")
    sets.release(mine.id, "them")
    assert (job.names, job.skipped) == (theirs.names, theirs.skipped)
    assert job.titles.is_file()
    sets.release(mine.id, "me")
    kept = [path for path in mine.folder.rglob("*") if path.is_file() and path.suffix != ".png"]
    assert not any("secret" in path.read_text() for path in kept)


def test_a_set_of_before_each_had_names_is_read(settings: Settings, tmp_path: Path) -> None:
    sets, files = Sets(settings), uploads(tmp_path / "in")
    mine = sets.add("me", files)
    path = mine.folder / "set.json"
    fields = json.loads(path.read_text())
    for picture, name in zip(fields["pictures"], mine.names, strict=True):
        picture["name"] = name
    path.write_text(json.dumps(fields | {"skipped": [["a.txt", "it is no picture"]]}))
    for marker in (mine.folder / "holders").iterdir():
        marker.write_bytes(b"")
    mine.titles.rename(mine.folder / "titles.csv")
    [old] = sets.list("me")
    assert old.names == mine.names
    assert old.skipped == (("a.txt", "it is no picture"),)
    assert old.titles == mine.folder / "titles.csv"


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", None])
def test_a_damaged_set_is_in_nobodys_way_and_mended_by_uploading_it_again(
    damage: bytes | None, settings: Settings, tmp_path: Path
) -> None:
    sets, files = Sets(settings), uploads(tmp_path / "in", 8)
    mine = sets.add("me", files[:5])
    path = mine.folder / "set.json"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    mine.files[0].unlink()
    theirs = sets.add("them", files)
    assert sets.list("them") == (theirs,)
    assert sets.list("me") == ()
    with pytest.raises(UploadError, match="no such set"):
        sets.show("me", mine.id)
    assert sets.add("them", files[:5]).id == mine.id
    assert sets.list("me") == (mine,)
    assert all(file.is_file() for file in mine.files)
    path.write_bytes(b"")
    sets.release(mine.id, "them")
    sets.release(mine.id, "me")
    assert not mine.folder.exists()


def test_a_set_is_on_the_disk_before_it_counts_as_kept(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        "app.datasets.uploads.sync_below",
        lambda folder: synced.extend(path.name for path in folder.rglob("*")),
    )
    mine = Sets(settings).add("me", uploads(tmp_path / "in"))
    assert {"set.json", *(file.name for file in mine.files)} <= set(synced)


def test_sets_are_listed_as_they_were_brought(settings: Settings, tmp_path: Path) -> None:
    sets, files = Sets(settings), uploads(tmp_path / "in", 7)
    brought = [sets.add("me", files[: 4 + i]).id for i in (0, 1, 2, 3, 1)]
    assert [found.id for found in sets.list("me")] == [brought[i] for i in (0, 2, 3, 4)]


def test_what_killed_processes_left_is_swept_away(settings: Settings, tmp_path: Path) -> None:
    sets, files = Sets(settings), uploads(tmp_path / "in", 6)
    nobodys = sets.add("me", files[:5])
    for marker in (nobodys.folder / "holders").iterdir():
        marker.unlink()
    root = nobodys.folder.parent
    for name in (".new-killed", ".new-being-read", ".tmp-old-set"):
        (root / name / "pictures").mkdir(parents=True)
    os.utime(root / ".new-killed", (0, 0))
    mine = sets.add("me", files)
    assert {path.name for path in root.iterdir()} == {".lock", ".new-being-read", mine.id}


def test_who_does_not_say_who_they_are_has_no_sets(settings: Settings, tmp_path: Path) -> None:
    sets, files = Sets(settings), uploads(tmp_path / "in")
    mine = sets.add("me", files)
    for act in (
        lambda: sets.add("", files),
        lambda: sets.list(""),
        lambda: sets.show("", mine.id),
        lambda: sets.hold(mine, ""),
        lambda: sets.release(mine.id, ""),
    ):
        with pytest.raises(StudioError, match="who you are"):
            act()


def test_the_folders_of_a_zip_become_classes(settings: Settings, tmp_path: Path) -> None:
    save_pictures(tmp_path / "in", 6)
    upload = zipped(tmp_path / "in", tmp_path / "a.zip")
    kept = Sets(settings).add("me", [upload], labels=True)
    assert kept.labels == ("garden", "river")
    with kept.manifest.open(encoding="utf-8", newline="") as file:
        table = {row["file"]: row["label"] for row in csv.DictReader(file)}
    named = dict(zip((path.name for path in kept.files), kept.names, strict=True))
    assert {named[file].split("/")[0]: label for file, label in table.items()} == {
        "garden": "garden",
        "river": "river",
    }


def test_what_can_not_be_kept_is_refused(settings: Settings, tmp_path: Path) -> None:
    sets, files = Sets(settings), uploads(tmp_path / "in")
    with pytest.raises(UploadError, match="Only 3"):
        sets.add("me", files[:3])
    with pytest.raises(UploadError, match="empty"):
        sets.add("me", [])
    with (tmp_path / "big.zip").open("wb") as file:
        file.truncate(3_000_000_000)
    with pytest.raises(UploadError, match="more than"):
        sets.add("me", [Upload(tmp_path / "big.zip", "big.zip")])
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../one.png", b"")
    with pytest.raises(UploadError, match=r"\.\./one\.png"):
        sets.add("me", [Upload(tmp_path / "bad.zip", "bad.zip")])
    with pytest.raises(UploadError, match="no room"):
        Sets(settings.model_copy(update={"upload_quota_mb": 0})).add("me", files)
    assert sets.list("me") == ()
    assert [path.name for path in (settings.data_dir / "sets").iterdir()] == [".lock"]


def test_names_and_what_is_left_out_are_bounded(settings: Settings, tmp_path: Path) -> None:
    files = uploads(tmp_path / "in")
    deep = "/".join(["d" * 250] * 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(files[0].path, f"{deep}/a garden.png")
        for i in range(ingest.MAX_SKIPPED + 20):
            archive.writestr(f"{deep}/{i}.png", b"\x89PNG, but no picture" + str(i).encode())
    given = [Upload(tmp_path / "a.zip", "a.zip"), *files[1:], replace(files[1], name="x" * 9_000)]
    kept = Sets(settings).add("me", given)
    [garden] = [name for name in kept.names if name.endswith("/a garden.png")]
    assert len(garden) == ingest.MAX_NAME
    assert all(len(name) <= ingest.MAX_NAME for name, _ in kept.skipped)
    assert len(kept.skipped) == ingest.MAX_SKIPPED + 1
    assert kept.skipped[-1] == ("21 more", "for reasons like these")


def test_a_zips_other_files_are_counted_and_its_pictures_taken(
    settings: Settings, tmp_path: Path
) -> None:
    files = uploads(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i, file in enumerate(files):
            archive.write(file.path, f"{i}.png")
            archive.writestr(f"{i}.txt", b"a caption")
        np.savez(tmp_path / "faces.npz", np.zeros(4))
        archive.write(tmp_path / "faces.npz", "faces.npz")
        archive.writestr("LICENSE", b"")
    kept = Sets(settings).add("me", [Upload(tmp_path / "a.zip", "a.zip")])
    assert len(kept) == len(files)
    reason = "no picture that can be read (5 .txt, 1 .npz, 1 without an ending)"
    assert kept.skipped == (("7 files in zips", reason),)


def test_a_zip_without_pictures_says_what_it_has(settings: Settings, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(7):
            archive.writestr(f"model.{i}", b"weights")
    words = r"Only 0 pictures can be used; 7 files in zips: no picture .*1 \.4, 2 others\)"
    with pytest.raises(UploadError, match=words):
        Sets(settings).add("me", [Upload(tmp_path / "a.zip", "a.zip")])


def test_a_full_disk_blames_no_picture(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.effect_noise((64, 64), 80)
    image.save(tmp_path / "innocent.png")
    # No file may have more bytes: what a full disk does to the first picture that is kept.
    full = tmp_path / "full"
    full.write_text(
        "import resource, sys\n"
        f"sys.path.insert(0, {str(Path(ingest.__file__).parents[2])!r})\n"
        "from app.datasets import ingest\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "ingest.main()\n"
    )
    monkeypatch.setattr("app.datasets.ingest.READER", (str(full),))
    with pytest.raises(UploadError, match=r"can't be kept: File too large") as caught:
        Sets(settings).add("me", [Upload(tmp_path / "innocent.png", "innocent.png")])
    assert "innocent" not in str(caught.value)
    assert "disk" in caught.value.hint


def test_a_picture_that_ends_its_reader_is_named_and_nothing_else_ends(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = uploads(tmp_path / "in")
    noise = np.random.default_rng(0).integers(0, 256, (6_000, 8_000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "greedy.jpg", quality=1)
    # Its memory allows for an ordinary picture only, as if this one were far larger.
    monkeypatch.setattr("app.datasets.ingest.MEMORY", 400 << 20)
    with pytest.raises(UploadError, match=r"greedy\.jpg.*memory"):
        Sets(settings).add("me", [*files, Upload(tmp_path / "greedy.jpg", "greedy.jpg")])


def test_a_reader_that_fails_otherwise_blames_no_picture(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("raise OSError('no space left')\n")
    monkeypatch.setattr("app.datasets.ingest.READER", (str(broken),))
    with pytest.raises(UploadError, match="could not be read to its end"):
        Sets(settings).add("me", uploads(tmp_path / "in"))


def test_two_uploads_are_read_at_once_and_one_of_a_visitor(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets, files = Sets(settings), uploads(tmp_path / "in")
    begun, go_on = Semaphore(0), Event()

    def read_slowly(
        files: list[tuple[Path, str]], out: Path, fit: Fit, *, labels: bool, seconds: int
    ) -> dict[str, Any]:
        assert seconds == VISITOR_SECONDS
        begun.release()
        assert go_on.wait(30)
        return ingest.read_files(files, out, fit, labels=labels)

    monkeypatch.setattr("app.datasets.uploads.read_files", read_slowly)
    monkeypatch.setattr("app.datasets.uploads.PATIENCE", 0.1)
    with ThreadPoolExecutor() as pool:
        reading = [pool.submit(sets.add, owner, files) for owner in ("me", "them")]
        assert all(begun.acquire(timeout=30) for _ in reading)
        with pytest.raises(UploadError, match="Another upload of yours"):
            sets.add("me", files)
        with pytest.raises(UploadError, match="Others' uploads"):
            sets.add("others", files)
        go_on.set()
        assert {len(each.result()) for each in reading} == {5}
    assert len(sets.add("me", files)) == len(sets.add("others", files)) == 5


def test_an_upload_that_takes_a_visitors_time_names_the_picture(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.datasets.uploads.VISITOR_SECONDS", 0)
    with zipfile.ZipFile(tmp_path / "slow.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(5):
            data = io.BytesIO()
            Image.new("I;16", (5_000, 4_000), i).save(data, "png", compress_level=1)
            archive.writestr(f"slow {i}.png", data.getvalue())
    with pytest.raises(UploadError, match=r"'slow \d+\.png' took too much memory or time"):
        Sets(settings).add("me", [Upload(tmp_path / "slow.zip", "slow.zip")])
