"""MMD, precision and recall against independent formulas and constructed clouds."""

import math

import numpy as np
import pytest

from app.evaluation.bootstrap import Statistic
from app.evaluation.metrics import manifolds, squared_mmd
from app.images.arrays import Floats


def at_equal_weights(statistic: Statistic, n: int, m: int) -> float:
    return float(statistic(np.ones((1, n)), np.ones((1, m)))[0])


def mmd(a: Floats, b: Floats) -> float:
    return at_equal_weights(squared_mmd(a, b), len(a), len(b))


def brute_force_mmd(a: Floats, b: Floats) -> float:
    """Gretton et al. (2012), eq. 3, term by term, with KID's kernel."""

    def k(x: Floats, y: Floats) -> float:
        return float((sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3)

    n, m = len(a), len(b)
    within_a = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    between = sum(k(a[i], b[j]) for i in range(n) for j in range(m)) / (n * m)
    return within_a + within_b - 2 * between


def test_mmd_equals_the_double_loop() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 0.5
    assert mmd(a, b) == pytest.approx(brute_force_mmd(a, b), rel=1e-12)


def test_a_weighted_mmd_is_that_of_the_repeated_rows_without_pairs_of_a_row_with_itself() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    w_a, w_b = np.array([2.0, 0, 1, 1, 1]), np.array([0.0, 3, 1, 0])

    def pairs(x: Floats, w: Floats) -> float:
        kernel = (x @ x.T / 3 + 1) ** 3
        total = count = 0.0
        for i in range(len(x)):
            for j in range(len(x)):
                if i != j:
                    total += w[i] * w[j] * kernel[i, j]
                    count += w[i] * w[j]
        return total / count

    cross = float(w_a @ ((a @ b.T / 3 + 1) ** 3) @ w_b) / (w_a.sum() * w_b.sum())
    expected = pairs(a, w_a) + pairs(b, w_b) - 2 * cross
    assert squared_mmd(a, b)(w_a[None], w_b[None])[0] == pytest.approx(expected, rel=1e-12)


def test_mmd_of_one_distribution_is_zero_on_average_and_below_zero_half_the_time() -> None:
    rng = np.random.default_rng(2)
    values = np.array([mmd(*rng.normal(size=(2, 20, 4))) for _ in range(2000)])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
    assert 0.3 < (values < 0).mean() < 0.8


def test_mmd_of_shifted_gaussians_has_its_known_value() -> None:
    """One dimension, kernel (xy + 1)^3: the sum over p of binom(3, p) (E x^p - E y^p)^2."""
    rng = np.random.default_rng(3)
    s = 0.7
    # E y - E x = s; E y^2 - E x^2 = s^2; E y^3 - E x^3 = s^3 + 3 s, for unit variances.
    expected = 3 * s**2 + 3 * s**4 + (s**3 + 3 * s) ** 2
    pairs = [(rng.normal(size=(400, 1)), rng.normal(size=(400, 1)) + s) for _ in range(40)]
    values = np.array([mmd(a, b) for a, b in pairs])
    assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(len(values))
    assert values.std() / math.sqrt(len(values)) < 0.1 * expected


def test_precision_and_recall_tell_bad_samples_from_missing_ones() -> None:
    rng = np.random.default_rng(4)
    left, right = rng.normal(size=(60, 2)), rng.normal([100, 0], size=(60, 2))
    elsewhere = rng.normal([0, 100], size=(60, 2))
    paintings = np.concatenate([left, right])

    precision, recall = manifolds(left, paintings)  # one of two modes is missing
    assert precision.mean() == 1
    assert recall[:60].mean() == 1
    assert recall[60:].mean() == 0

    half_bad, recall = manifolds(np.concatenate([left, right, elsewhere]), paintings)
    assert half_bad[:120].mean() == 1
    assert half_bad[120:].mean() == 0
    assert recall.mean() == 1


def test_a_ball_reaches_to_the_kth_neighbour_and_no_farther() -> None:
    reference = np.arange(4.0)[:, None]  # with k = 2, the ball of 0 and of 3 has radius 2
    samples = np.array([[-2.0], [-2.01], [5.0], [5.01]])
    inside, _ = manifolds(samples, reference, k=2)
    assert inside.tolist() == [1, 0, 1, 0]


def test_sets_without_a_kth_neighbour_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 5"):
        manifolds(np.zeros((5, 2)), np.zeros((50, 2)))
    with pytest.raises(ValueError, match="at least two"):
        squared_mmd(np.zeros((1, 2)), np.zeros((50, 2)))
