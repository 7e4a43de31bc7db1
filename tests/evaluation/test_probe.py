"""A linear probe recognises what can be told apart, and is not fooled by what can't."""

import numpy as np
import pytest

from app.evaluation.probe import FOLDS, LEAST_OF_CLASS, ClassProbe, Members
from app.images.arrays import Floats

SIGNAL, GENRE = 0, 1


def paintings(count: int, seed: int) -> tuple[Floats, Members]:
    """Features of noise, but for a class that raises the first and one that raises the second."""
    rng = np.random.default_rng(seed)
    members = np.stack([rng.random(count) < 0.2, rng.random(count) < 0.5], axis=1)
    features = rng.standard_normal((count, 12)) * 3 + 100
    features[:, :2] += 15 * members
    return features, members


def test_classes_that_overlap_are_each_told_from_the_rest() -> None:
    features, members = paintings(400, 1)
    probe, (fresh, theirs) = ClassProbe(features, members), paintings(200, 2)
    for k in (SIGNAL, GENRE):
        found = probe.figures(fresh[theirs[:, k]], k)
        assert found is not None
        assert found.paintings == members[:, k].sum()
        assert found.real.value > 0.95
        assert found.others.value < 0.05
        assert found.ratio.low < 1 < found.ratio.high + 0.05
        wrong = probe.figures(fresh[~theirs[:, k]], k)
        assert wrong is not None
        assert wrong.samples.value < 0.05


def test_paintings_are_judged_by_a_probe_that_has_not_seen_them() -> None:
    rng = np.random.default_rng(0)
    # As many features as paintings: a probe that has seen them knows each by heart.
    features, members = rng.standard_normal((100, 90)), np.zeros((100, 1), dtype=bool)
    members[rng.permutation(100)[:50]] = True
    found = ClassProbe(features, members).figures(features[members[:, 0]], 0)
    assert found is not None
    assert found.samples.value > 0.9
    assert found.real.value < 0.7


@pytest.mark.parametrize("count", [0, LEAST_OF_CLASS - 1, 40 - LEAST_OF_CLASS + 1, 40])
def test_a_class_with_too_few_paintings_in_it_or_outside_has_no_figures(count: int) -> None:
    features = np.random.default_rng(0).standard_normal((40, 3))
    members = np.arange(40)[:, None] < [count, 2 * FOLDS]
    probe = ClassProbe(features, members)
    assert probe.figures(features, 0) is None
    assert probe.figures(features, 1) is not None
