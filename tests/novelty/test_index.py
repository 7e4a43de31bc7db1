"""The novelty index finds copies and leaves other pictures alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from app.datasets.labels import Painting
from app.errors import StudioError
from app.evaluation.judge import novelty_figures
from app.models.store import ModelStore
from app.novelty.index import (
    ARRAYS,
    NAMES,
    FeatureSpace,
    NoveltyIndex,
    build_index,
    differing_bits,
    load_index,
    perceptual_hashes,
    save_index,
)
from app.novelty.nearest import model_features
from tests.training.pictures import Pixels, landscapes

TRAINING = landscapes(80, seed=1)
HELD_OUT = landscapes(40, seed=2)
NAMED = tuple(Painting(f"Field {i}", "A. Painter") for i in range(len(TRAINING)))


@pytest.fixture(scope="module")
def features(model_root: Path) -> FeatureSpace:
    torch.manual_seed(0)
    return model_features(ModelStore([model_root]).load("tiny"))


@pytest.fixture(scope="module")
def index(features: FeatureSpace) -> NoveltyIndex:
    return build_index(TRAINING, NAMED, features, weights="a" * 64, held_out=HELD_OUT)


def noisy(picture: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def blurred(picture: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(0.5)))


@pytest.mark.parametrize("i", [0, 33, 79])
def test_a_copy_a_mirrored_copy_and_a_noisy_copy_are_found(
    index: NoveltyIndex, features: FeatureSpace, i: int
) -> None:
    copies = {
        "exact": TRAINING[i],
        "mirrored": np.ascontiguousarray(TRAINING[i, :, ::-1]),
        "noisy": noisy(TRAINING[i]),
        "blurred": blurred(TRAINING[i]),
    }
    for kind, picture in copies.items():
        (found,) = index.nearest(picture[None], features)
        assert found.title == f"Field {i}", kind
        assert found.artist == "A. Painter"
        assert found.is_copy, kind
        assert found.percentile == 0, kind
    assert index.neighbours(copies["exact"][None], features).distance[0] < 0.05


def test_pictures_never_seen_are_no_copies(index: NoveltyIndex, features: FeatureSpace) -> None:
    strangers = landscapes(60, seed=3)
    found = index.neighbours(strangers, features)
    assert found.copies.sum() == 0
    percentiles = index.percentiles(found.distance)
    assert 25 < percentiles.mean() < 75
    figures = novelty_figures(found, index.neighbours(HELD_OUT, features))
    assert figures.near.low <= 0.05 <= figures.near.high
    assert figures.copies == 0


def test_copies_among_the_samples_are_counted(index: NoveltyIndex, features: FeatureSpace) -> None:
    samples = np.concatenate([landscapes(20, seed=4), TRAINING[:5]])
    held_out = index.neighbours(HELD_OUT, features)
    figures = novelty_figures(index.neighbours(samples, features), held_out)
    assert figures.copies == 5
    assert figures.near.value >= 0.2


def test_a_copy_that_the_network_does_not_know_again_is_told_by_its_hash() -> None:
    def noise(pictures: Pixels) -> NDArray[np.float64]:
        return draws.normal(size=(len(pictures), 96))

    draws = np.random.default_rng(0)
    index = build_index(TRAINING, NAMED, noise, weights="", held_out=HELD_OUT)
    copies = np.concatenate([TRAINING[[7]], TRAINING[[41], :, ::-1], HELD_OUT[:3]])
    found = index.nearest(copies, noise)
    assert [one.is_copy for one in found] == [True, True, False, False, False]
    assert [one.title for one in found[:2]] == ["Field 7", "Field 41"]


def test_a_picture_that_the_training_set_has_twice_is_still_a_copy(
    features: FeatureSpace,
) -> None:
    twice = np.concatenate([TRAINING[:40], TRAINING[:40]])
    index = build_index(twice, NAMED, features, weights="", held_out=HELD_OUT)
    found = index.neighbours(noisy(TRAINING[3])[None], features)
    assert found.ratio[0] > 0.9  # the second-nearest is the same picture
    assert found.copies[0]


def test_the_control_is_the_held_out_pictures_own_distances(
    index: NoveltyIndex, features: FeatureSpace
) -> None:
    found = index.neighbours(HELD_OUT, features)
    assert np.sort(found.distance) == pytest.approx(index.control, abs=1e-5)
    assert index.control_kind == "held-out"


def test_without_held_out_pictures_each_is_compared_with_all_others(
    features: FeatureSpace,
) -> None:
    index = build_index(TRAINING, NAMED, features, weights="")
    assert index.control_kind == "leave-one-out"
    assert len(index.control) == len(TRAINING)
    assert index.control.min() > 0.1  # none of them is compared with itself
    assert index.nearest(TRAINING[:1], features)[0].percentile == 0


def test_distances_agree_with_a_plain_search(index: NoveltyIndex, features: FeatureSpace) -> None:
    queries = landscapes(5, seed=5)

    def unit(pictures: Pixels) -> NDArray[np.float64]:
        rows = (features(pictures) - index.mean.astype(float)) @ index.basis.astype(float)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    stored = unit(TRAINING)
    either = [unit(queries), unit(np.ascontiguousarray(queries[:, :, ::-1]))]
    gaps = [np.linalg.norm(rows[:, None] - stored, axis=2) for rows in either]
    expected = np.minimum(*gaps).min(1)
    # The index keeps bytes where this has floats.
    assert index.neighbours(queries, features).distance == pytest.approx(expected, abs=0.03)


def test_an_index_holds_no_pixels_and_is_small(index: NoveltyIndex, tmp_path: Path) -> None:
    save_index(index, tmp_path)
    assert index.codes.shape == (80, 20)
    assert index.hashes.shape == (80, 8)
    per_picture = index.codes[0].nbytes + index.hashes[0].nbytes
    assert per_picture < TRAINING[0].nbytes / 20
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAMES, ARRAYS]


def test_a_saved_index_comes_back_whole(
    index: NoveltyIndex, features: FeatureSpace, tmp_path: Path
) -> None:
    assert load_index(tmp_path, "a" * 64) is None
    save_index(index, tmp_path)
    loaded = load_index(tmp_path, "a" * 64)
    assert loaded is not None
    assert loaded.nearest(HELD_OUT[:1], features) == index.nearest(HELD_OUT[:1], features)
    assert loaded.paintings == NAMED


def test_an_index_of_other_weights_is_refused(index: NoveltyIndex, tmp_path: Path) -> None:
    save_index(index, tmp_path)
    with pytest.raises(StudioError, match="other weights") as caught:
        load_index(tmp_path, "b" * 64)
    assert "python -m app index" in caught.value.hint


def cut(folder: Path) -> None:
    path = folder / ARRAYS
    path.write_bytes(path.read_bytes()[:-10])


def no_names(folder: Path) -> None:
    (folder / NAMES).unlink()


def fewer_names(folder: Path) -> None:
    names = json.loads((folder / NAMES).read_text())
    names["paintings"].pop()
    (folder / NAMES).write_text(json.dumps(names))


def odd_names(folder: Path) -> None:
    (folder / NAMES).write_text('{"artists": [], "paintings": [[3, "x"]]}')


@pytest.mark.parametrize("damage", [cut, no_names, fewer_names, odd_names])
def test_a_damaged_index_is_refused(index: NoveltyIndex, tmp_path: Path, damage: object) -> None:
    save_index(index, tmp_path)
    assert callable(damage)
    damage(tmp_path)
    with pytest.raises(StudioError, match="can't be read"):
        load_index(tmp_path, "a" * 64)


def test_too_few_pictures_or_names_are_refused(features: FeatureSpace) -> None:
    with pytest.raises(ValueError, match="16 pictures"):
        build_index(TRAINING[:15], NAMED[:15], features, weights="")
    with pytest.raises(ValueError, match="a name each"):
        build_index(TRAINING, NAMED[:-1], features, weights="")


def test_hashes_survive_what_a_viewer_would_not_notice() -> None:
    pictures = landscapes(20, 64, seed=6)
    plain = perceptual_hashes(pictures)
    changed = perceptual_hashes(np.stack([noisy(blurred(p)) for p in pictures]))
    darker = perceptual_hashes((pictures * 0.8).astype(np.uint8))
    assert differing_bits(plain, changed).mean() < 4
    assert differing_bits(plain, darker).mean() < 4
    assert differing_bits(plain, np.roll(plain, 1, axis=0)).min() > 10
