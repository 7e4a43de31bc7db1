"""Pictures in a folder: found, refused with a reason, decoded once, kept as bytes."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.datasets.folder import (
    DecodedPictures,
    find_pictures,
    fingerprint,
    is_held_out,
    load_pictures,
)
from app.datasets.labels import LabelConfig, PictureLabels, find_classes, label_pictures
from app.errors import StudioError
from app.images import reading
from app.images.pixels import to_unit
from app.images.reading import Treatment
from app.training.batches import draw, make_batch, stored_size
from tests.training.tiny import config, save_pictures, training_data

SQUARE = Treatment((16,), 3, "squash", 16)


def load(folder: Path, treatment: Treatment = SQUARE, cache: Path | None = None) -> DecodedPictures:
    names = find_pictures(folder)
    return load_pictures(folder, names, treatment, memory_bytes=0, cache=cache)


def save(path: Path, size: tuple[int, int] = (20, 20), **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    left = Image.new("RGB", size, (255, 0, 0))
    left.paste((0, 0, 255), (size[0] // 2, 0, *size))
    left.save(path, **options)  # type: ignore[arg-type]


def test_nested_pictures_are_found_in_order_and_others_left_alone(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.JPG", "a/deep/y.webp", ".hidden.png", ".cache/x.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert find_pictures(tmp_path) == ("a/deep/y.webp", "a/z.JPG", "b.png")
    assert load(tmp_path).names == ("a/deep/y.webp", "a/z.JPG", "b.png")


def test_broken_tiny_and_huge_pictures_are_skipped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "good.png")
    save(tmp_path / "tiny.png", (40, 15))
    save(tmp_path / "whole.jpg", (64, 64))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:500])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.gif").touch()
    monkeypatch.setattr("app.images.reading.MAX_TRAINING_PIXELS", 5000)
    save(tmp_path / "huge.png", (100, 51))
    pictures = load(tmp_path)
    assert pictures.names == ("good.png", "whole.jpg")
    reasons = {skipped.name: skipped.reason for skipped in pictures.skipped}
    assert set(reasons) == {"tiny.png", "cut.jpg", "text.png", "empty.gif", "huge.png"}
    assert "fewer than 16" in reasons["tiny.png"]
    assert "more than 5,000" in reasons["huge.png"]
    # Those that are left moved up, each to its own name.
    good = np.asarray(Image.open(tmp_path / "good.png").resize((16, 16), Image.Resampling.LANCZOS))
    assert (pictures.pixels[16][0] == good).all()
    assert pictures.pixels[16].shape == (2, 16, 16, 3)


def test_a_dangling_link_an_odd_name_and_numbers_of_32_bits_are_skipped_and_named(
    tmp_path: Path,
) -> None:
    save(tmp_path / "good.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    save(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")))
    Image.new("F", (20, 20), 0.5).save(tmp_path / "float.tif")
    assert len(fingerprint(tmp_path, find_pictures(tmp_path))) == 64
    pictures = load(tmp_path)
    assert pictures.names == ("good.png",)
    reasons = {skipped.name: skipped.reason for skipped in pictures.skipped}
    assert set(reasons) == {"gone.png", "caf\N{REPLACEMENT CHARACTER}.png", "float.tif"}
    assert "32 bits" in reasons["float.tif"]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_grey_of_16_bits_keeps_its_shades(ending: str, tmp_path: Path) -> None:
    shades = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(shades).save(tmp_path / f"a.{ending}")
    pixels = load(tmp_path).pixels[16][0]
    assert (pixels == (shades / 257).round()[..., None]).all()


def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "good.png")
    save(tmp_path / "bomb.png", (3000, 3000))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    reasons = [skipped.name for skipped in load(tmp_path).skipped]
    assert reasons == ["bomb.png"]


@pytest.mark.parametrize("content", [None, "empty", "broken"])
def test_a_folder_without_a_usable_picture_is_a_clear_error(
    content: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    if content is not None:
        folder.mkdir()
    if content == "broken":
        (folder / "a.png").write_text("no picture")
    with pytest.raises(StudioError, match="picture"):
        load(folder)


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by a quarter, clockwise
    save(tmp_path / "a.png", (32, 32), exif=exif)
    pixels = load(tmp_path).pixels[16][0]
    assert pixels[2, 8].tolist() == [255, 0, 0]  # left became top
    assert pixels[13, 8].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("fit", "edge"), [("crop", 255), ("squash", 0)])
def test_a_wide_picture_is_cropped_or_squashed(fit: reading.Fit, edge: int, tmp_path: Path) -> None:
    wide = Image.new("RGB", (64, 32))  # black, with a white middle
    wide.paste((255, 255, 255), (15, 0, 49, 32))
    wide.save(tmp_path / "a.png")
    pixels = load(tmp_path, Treatment((16,), 3, fit, 16)).pixels[16]
    assert pixels[0, 8, 0].tolist() == [edge] * 3
    assert pixels[0, 8, 8].tolist() == [255] * 3


def test_transparency_becomes_white_and_grey_models_get_one_channel(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 20), (9, 9, 9, 0)).save(tmp_path / "a.png")
    pixels = load(tmp_path, Treatment((16, 8), 1, "crop", 16)).pixels
    assert (pixels[16] == 255).all()
    assert pixels[8].shape == (1, 8, 8, 1)


def test_what_exceeds_the_budget_is_memory_mapped_with_the_same_bytes(
    data: Path, tmp_path: Path
) -> None:
    mapped, kept = load(data, cache=tmp_path / "cache"), load(data)
    assert isinstance(mapped.pixels[16], np.memmap)
    assert not isinstance(kept.pixels[16], np.memmap)
    assert (mapped.pixels[16] == kept.pixels[16]).all()


def test_the_fingerprint_sees_a_new_a_renamed_and_a_rewritten_picture(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    seen = {fingerprint(tmp_path, find_pictures(tmp_path))}
    save(tmp_path / "b.png")
    seen.add(fingerprint(tmp_path, find_pictures(tmp_path)))
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    seen.add(fingerprint(tmp_path, find_pictures(tmp_path)))
    Image.new("RGB", (20, 20), "red").save(tmp_path / "a.bmp")
    seen.add(fingerprint(tmp_path, find_pictures(tmp_path)))
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "a.bmp")  # as many bytes
    seen.add(fingerprint(tmp_path, find_pictures(tmp_path)))
    assert len(seen) == 5
    os.utime(tmp_path / "a.png", (1, 1))
    assert fingerprint(tmp_path, find_pictures(tmp_path)) in seen


def test_holding_out_by_hash_ignores_what_else_is_there() -> None:
    names = [f"{i}.png" for i in range(2000)]
    chosen = {name for name in names if is_held_out(name, 0.1)}
    assert 150 < len(chosen) < 250
    assert chosen == {name for name in reversed(names) if is_held_out(name, 0.1)}
    assert chosen < {name for name in names if is_held_out(name, 0.2)}


def test_labels_come_from_folders_or_a_manifest(data: Path, tmp_path: Path) -> None:
    names = find_pictures(data)
    folders = LabelConfig(source="folders")
    classes = find_classes(folders, names)
    assert (classes.names, classes.null_label) == (("garden", "river"), 2)
    assert classes.pictures == (12, 12)
    assert label_pictures(folders, classes, names).rarest.tolist() == [0] * 12 + [1] * 12

    manifest = tmp_path / "manifest.csv"
    rows = [
        "file,artist",
        "00.png,Monet",
        "garden/02.png,Monet",
        "01.png,Sisley",
        "03.png,",
        "00.png,",
    ]
    manifest.write_text("\n".join(rows))
    settings = LabelConfig(
        source="manifest", manifest=str(manifest), column="artist", min_pictures=2
    )
    found = find_classes(settings, names)
    assert found.names == ("Monet",)
    labels = dict(zip(names, label_pictures(settings, found, names).rarest.tolist(), strict=True))
    assert [labels[n] for n in ("garden/00.png", "garden/02.png", "river/01.png")] == [0, 0, 1]


def test_a_picture_may_have_several_classes_of_which_rare_ones_are_shown_more_often(
    tmp_path: Path,
) -> None:
    manifest = tmp_path / "manifest.csv"
    rows = [f"{i}.png,claude-monet,landscape,Impressionism" for i in range(16)]
    rows += [f"{i}.png,,landscape,Pointillism" for i in range(16, 20)]
    rows += ["20.png,paul-signac,,Impressionism"]
    manifest.write_text("\n".join(["file,artist,genre,style", *rows]))
    settings = LabelConfig(
        source="manifest", manifest=str(manifest), column=("artist", "genre", "style"),
        without=("Impressionism",), spelled=True, min_pictures=2,
    )  # fmt: skip
    names = [f"{i}.png" for i in range(21)]
    classes = find_classes(settings, names)
    assert classes.names == ("Claude Monet", "Landscape", "Pointillism")
    assert classes.pictures == (16, 20, 4)
    labels = label_pictures(settings, classes, names)
    assert labels.labels[[0, 16, 20]].tolist() == [[0, 1], [2, 1], [3, 3]]
    # Pointillism has 4 pictures and Landscape 20: 4^-0.5 against 20^-0.5.
    draws, shown = torch.linspace(0, 1 - 1e-6, 1000), torch.zeros(1000, dtype=torch.bool)
    of = {i: labels.drawn(torch.full((1000,), i), draws, shown) for i in (0, 16, 20)}
    assert float((of[16] == 2).float().mean()) == pytest.approx(0.5 / (0.5 + 20**-0.5), abs=0.002)
    assert set(of[0].tolist()) == {0, 1}
    assert set(of[20].tolist()) == {3}
    assert set(labels.drawn(torch.zeros(9, dtype=torch.int64), draws[:9], ~shown[:9]).tolist()) == {
        3
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "can't be read"), ("name,artist\n", "no column 'file'"), ("file,artist\n", "No class")],
)
def test_a_manifest_that_cannot_be_used_is_refused(
    text: str | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "manifest.csv"
    if text is not None:
        path.write_text(text)
    settings = LabelConfig(source="manifest", manifest=str(path), column="artist")
    with pytest.raises(StudioError, match=reason):
        find_classes(settings, ["00.png"])


def test_a_batch_mirrors_drops_labels_and_stays_in_range(data: Path) -> None:
    settings = config(data, batch_size=24, labels={"source": "folders", "dropout": 0.5})
    pixels = training_data(settings).pictures.pixels[16]
    labels = PictureLabels(torch.arange(24)[:, None], torch.ones(24, 1), 99)
    draws = draw(settings, 0, pictures=24, shape=(3, 16, 16), timesteps=1000)
    batch = make_batch(settings, pixels, labels, draws)
    assert 0 < int(draws.mirrored.sum()) < 24
    for i, picture in enumerate(draws.index.tolist()):
        expected = to_unit(pixels[picture : picture + 1])[0]
        expected = expected.flip(-1) if draws.mirrored[i] else expected
        assert torch.equal(batch.x_0[i], expected)
    assert batch.condition is not None
    assert batch.condition.labels is not None
    shown, kept = batch.condition.labels, ~draws.unlabelled
    assert torch.equal(shown[kept], draws.index[kept])
    assert bool((shown[~kept] == 99).all())
    assert 0 < int(kept.sum()) < 24


def test_crops_cover_at_least_their_share_and_lie_inside(data: Path) -> None:
    settings = config(data, batch_size=400, crop_scale=0.5)
    draws = draw(settings, 0, pictures=24, shape=(3, 16, 16), timesteps=1000)
    left, top, right, bottom = draws.boxes.T
    assert bool(((left >= 0) & (top >= 0) & (right <= 1 + 1e-9) & (bottom <= 1 + 1e-9)).all())
    area = (right - left) * (bottom - top)
    assert 0.5 <= float(area.min()) < 0.55
    assert float(area.max()) > 0.95
    pixels = training_data(settings).pictures.pixels[stored_size(16, 0.5)]
    assert pixels.shape[1] == 23
    batch = make_batch(settings, pixels, None, draws)
    assert batch.x_0.shape == (400, 3, 16, 16)


def test_every_picture_is_seen_once_an_epoch_in_a_new_order(data: Path) -> None:
    settings = config(data, batch_size=5)
    steps = range(24 * 2 // 5 + 1)
    order = torch.cat(
        [draw(settings, s, pictures=24, shape=(3, 16, 16), timesteps=9).index for s in steps]
    ).tolist()
    assert sorted(order[:24]) == sorted(order[24:48]) == list(range(24))
    assert order[:24] != order[24:48]


def test_stratified_timesteps_fill_every_stratum_and_stay_uniform(data: Path) -> None:
    settings = config(data, batch_size=6)
    ts = torch.stack(
        [draw(settings, s, pictures=24, shape=(1, 1, 1), timesteps=10).t for s in range(3000)]
    )
    strata = torch.arange(6) * 10 / 6
    assert bool(((ts + 1 > strata) & (ts < strata + 10 / 6)).all())
    share = torch.bincount(ts.flatten(), minlength=10) / ts.numel()
    assert len(share) == 10
    assert float((share - 0.1).abs().max()) < 0.01


def test_another_seed_or_step_draws_anew(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path, 2)
    noises = [
        draw(config(folder, seed=seed), step, pictures=2, shape=(1, 4, 4), timesteps=9).eps
        for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0))
    ]
    assert torch.equal(noises[0], noises[3])
    assert not any(torch.equal(noises[i], noises[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
