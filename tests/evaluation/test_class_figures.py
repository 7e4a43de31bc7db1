"""Which classes samples are of, and the classes of the paintings that they are held against."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.datasets.labels import LabelConfig
from app.errors import RecipeError, StudioError
from app.evaluation.class_figures import class_counts, class_members, run_labels
from app.models.files import ModelInfo
from tests.training.tiny import config

INFO = ModelInfo(
    "classes", 16, 3, 1, 1000, ("garden", "river", "street"), 3,
    learned_variance=False, label_pictures=(1200, 41, 7),
)  # fmt: skip
PLAIN = replace(INFO, labels=(), null_label=None, label_pictures=())


@pytest.mark.parametrize(
    ("classes", "counts"),
    [
        (None, ((0, 96), (1, 3), (2, 1))),
        ("pooled", ((0, 96), (1, 3), (2, 1))),
        ("each", ((0, 100), (1, 100), (2, 100))),
        ("any", ((None, 100),)),
        ("River", ((1, 100),)),
    ],
)
def test_samples_are_of_the_classes_asked_for(
    classes: str | None, counts: tuple[tuple[int | None, int], ...]
) -> None:
    assert class_counts(INFO, 100, classes) == counts


def test_pooled_samples_are_in_proportion_whatever_their_number() -> None:
    for count in range(16, 300, 7):
        found = dict(class_counts(INFO, count, None))
        assert sum(found.values()) == count
        assert all(
            abs(n - count * INFO.label_pictures[k or 0] / 1248) < 1 for k, n in found.items()
        )
    unknown = replace(INFO, label_pictures=())
    assert class_counts(unknown, 17, None) == ((0, 6), (1, 6), (2, 5))


def test_a_model_without_classes_has_none_to_ask_for() -> None:
    assert class_counts(PLAIN, 20, None) == ((None, 20),)
    for classes in ("pooled", "each", "any", "river"):
        with pytest.raises(RecipeError, match="has no classes"):
            class_counts(PLAIN, 20, classes)


def test_the_run_says_which_classes_pictures_have(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    path = tmp_path / "config.json"
    path.write_text(config(tmp_path / "pictures", labels={"source": "folders"}).to_json())
    labels = run_labels(path)
    files = ("river/1.png", "garden/2.png", "other/3.png", "4.png")
    members = class_members(labels, files, INFO)
    assert members.tolist() == [
        [False, True, False],
        [True, False, False],
        [False] * 3,
        [False] * 3,
    ]
    path.write_text(config(tmp_path / "pictures").to_json())
    with pytest.raises(StudioError, match="has no classes"):
        run_labels(path)
    with pytest.raises(StudioError, match="No training picture has a class"):
        class_members(LabelConfig(source="folders"), files[2:], INFO)
