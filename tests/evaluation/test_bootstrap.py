"""Bootstrap intervals: they hold what they should, and shrink as they should."""

import numpy as np

from app.evaluation.bootstrap import bootstrap, bootstrap_mean
from app.evaluation.metrics import squared_mmd
from app.images.arrays import Floats


def test_an_interval_of_a_mean_covers_it_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    trials = 200
    covered = 0
    for trial in range(trials):
        interval = bootstrap_mean(rng.exponential(size=60), seed=trial)
        covered += interval.low <= 1 <= interval.high
    # 95% less what a percentile interval of 60 skewed draws lacks; 4 deviations either way.
    assert 0.85 <= covered / trials <= 0.99


def test_an_interval_of_the_mmd_covers_the_distance_of_two_known_gaussians() -> None:
    rng = np.random.default_rng(1)
    shift = np.full(4, 0.8)
    far = squared_mmd(rng.normal(size=(4000, 4)), rng.normal(size=(4000, 4)) + shift)
    truth = float(far(np.ones((1, 4000)), np.ones((1, 4000)))[0])
    trials = 100
    covered = 0
    for trial in range(trials):
        a, b = rng.normal(size=(50, 4)), rng.normal(size=(50, 4)) + shift
        interval = bootstrap(squared_mmd(a, b), 50, 50, seed=trial)
        covered += interval.low <= truth <= interval.high
    assert covered / trials >= 0.82


def test_four_times_the_pictures_halve_the_interval() -> None:
    rng = np.random.default_rng(2)
    few, many = rng.normal(size=100), rng.normal(size=400)
    width = {len(v): bootstrap_mean(v).high - bootstrap_mean(v).low for v in (few, many)}
    assert 1.5 < width[100] / width[400] < 2.7


def test_the_replicates_are_centred_on_the_estimate() -> None:
    """A statistic that a drawn set inflates must not move its interval off the estimate."""
    values = np.arange(40.0)

    def inflated(weights: Floats, _: Floats) -> Floats:
        return np.asarray(weights @ values / weights.sum(1) + 100 * (weights != 1).mean(1))

    interval = bootstrap(inflated, 40, 1)
    assert interval.value == values.mean()
    assert interval.low < interval.value < interval.high


def test_equal_seeds_give_equal_intervals() -> None:
    values = np.random.default_rng(3).normal(size=30)
    assert bootstrap_mean(values, seed=4) == bootstrap_mean(values, seed=4)
    assert bootstrap_mean(values, seed=4) != bootstrap_mean(values, seed=5)
