"""The strided estimate: it takes what it says, is right on average, and knows its error."""

import numpy as np
import pytest

from app.diffusion.bound import Stratum, all_steps, strata


@pytest.mark.parametrize(("length", "terms"), [(1000, 50), (1000, 2), (1000, 998), (10, 8), (5, 3)])
def test_strata_cover_every_step_once_from_the_last_to_the_first(length: int, terms: int) -> None:
    found = strata(length, terms, seed=0)
    assert sum(s.width for s in found) == length - 1
    steps = [t for s in found for t in s.steps]
    assert steps == sorted(set(steps), reverse=True)
    assert len(steps) == terms // 2 * 2
    assert {*steps} <= set(range(1, length))


def test_all_steps_are_all() -> None:
    assert [s.steps for s in all_steps(5)] == [(4,), (3,), (2,), (1,)]
    assert all(s.weight == 1 for s in all_steps(5))


@pytest.mark.parametrize("terms", [0, 1, 10])
def test_too_few_or_too_many_terms_are_refused(terms: int) -> None:
    with pytest.raises(ValueError, match="terms"):
        strata(10, terms, seed=0)


def test_the_estimate_is_unbiased_and_its_error_is_what_it_says() -> None:
    """On a sum like the bound's, 1 / t, with noise of a known size on every value."""
    values, noise_std = 1 / np.arange(1, 1000) + 0.01, 0.02
    truth, random = float(values.sum()), np.random.default_rng(0)
    estimates, variances = [], []
    for seed in range(2000):
        estimate = variance = 0.0
        for stratum in strata(1000, 20, seed):
            seen = [values[t - 1] + noise_std * random.standard_normal() for t in stratum.steps]
            estimate += stratum.weight * sum(seen)
            variance += stratum.variance(seen, [noise_std**2] * len(seen))
        estimates.append(estimate)
        variances.append(variance)
    spread = float(np.std(estimates))
    assert np.mean(estimates) == pytest.approx(truth, abs=3 * spread / np.sqrt(2000))
    assert np.sqrt(np.mean(variances)) == pytest.approx(spread, rel=0.1)


def test_twice_the_error_holds_the_sum_about_nine_times_in_ten() -> None:
    """On terms that fall as a painting's do, with two draws that differ by 2%, as they do there."""
    t = np.arange(1, 1000)
    values, random = 0.5 / t / (1 + t / 40), np.random.default_rng(0)
    held = 0
    for seed in range(800):
        estimate = variance = 0.0
        for stratum in strata(1000, 50, seed):
            terms = values[np.array(stratum.steps) - 1]
            draws = terms * (1 + 0.02 * random.standard_normal((2, len(terms))))
            seen = draws.mean(0)
            estimate += stratum.weight * seen.sum()
            variance += stratum.variance(seen.tolist(), (draws.var(0, ddof=1) / 2).tolist())
        held += abs(estimate - values.sum()) <= 2 * np.sqrt(variance)
    assert 0.88 <= held / 800 <= 0.94


def test_a_stratum_taken_whole_has_only_the_noise_as_its_error() -> None:
    assert Stratum(2, (4, 3)).variance([1.0, 5.0], [0.5, 0.25]) == 0.75
