"""Searching for steps: lists that can be walked, a search that finds, resumes and repeats."""

import json
from itertools import pairwise

import numpy as np
import pytest

from app.diffusion.reverse import spaced_timesteps
from app.diffusion.schedule import NoiseSchedule
from app.errors import StudioError
from app.evaluation.evolution import Evolution
from app.evaluation.quick_distances import Score
from app.evaluation.step_search import KNOTS, SearchState, Steps, StepSpace, begin, next_round
from app.models.step_schedules import MAX_STEP_ETA, check_steps

SPACE = StepSpace(NoiseSchedule.named(), 16)
AIM = Steps(tuple(int(t) for t in np.linspace(1000, 20, 16) ** 1.4 / 1000**0.4), (*[0.6] * 15, 0.0))


def measure(steps: Steps) -> Score:
    """Score how far a list is from AIM."""
    t = np.abs(np.subtract(steps.step_t, AIM.step_t)).mean() / 20
    return Score({"t": t, "eta": float(np.abs(np.subtract(steps.step_eta, AIM.step_eta)).sum())})


@pytest.mark.parametrize("count", [2, 3, 16, 100])
@pytest.mark.parametrize("total", [100, 1000])
def test_any_numbers_are_steps_that_can_be_taken(count: int, total: int) -> None:
    space = StepSpace(NoiseSchedule.named(num_train_timesteps=total), count)
    for numbers in np.random.default_rng(1).normal(0, 3, (50, 2 * KNOTS + 1)):
        steps = space.steps(numbers)
        check_steps("dpm-solver-eta", steps.step_t, steps.step_eta)
        assert (len(steps.step_t), steps.step_t[0]) == (count, total)
        assert steps.step_t[-1] >= 1
        assert 0 <= min(steps.step_eta) <= max(steps.step_eta) <= MAX_STEP_ETA


def test_the_first_lists_are_near_even_ones() -> None:
    trailing = spaced_timesteps(16, 1000).numpy() + 1
    found = SPACE.steps(SPACE.first()[0])
    assert np.abs(np.subtract(found.step_t, trailing)).max() <= 12
    assert set(found.step_eta) == {0.0}
    alpha_bar = SPACE.schedule.alphas_cumprod
    levels = (alpha_bar / (1 - alpha_bar)).log().tolist()
    pairs = pairwise(SPACE.steps(SPACE.first()[-1]).step_t)
    gaps = [levels[s - 1] - levels[t - 1] for t, s in pairs]
    assert max(gaps) < 1.2 * min(gaps)


@pytest.mark.parametrize("count", [1, 101])
def test_a_number_of_steps_that_is_none_is_refused(count: int) -> None:
    with pytest.raises(StudioError, match="can't be searched for"):
        StepSpace(NoiseSchedule.named(), count)


def test_evolution_finds_the_least_of_a_long_valley() -> None:
    scales = np.logspace(0, 2, 10)
    evolution = Evolution.starting(np.ones(10), 0.3)
    for _ in range(250):
        candidates = evolution.candidates(seed=3)
        values = ((candidates * scales) ** 2).sum(1)
        evolution = evolution.after(candidates, values.tolist())
    assert ((evolution.mean * scales) ** 2).sum() < 1e-6
    assert evolution.variances[0] > 50 * evolution.variances[-1]


def searched(state: SearchState, rounds: int) -> list[SearchState]:
    states = [state]
    for _ in range(rounds):
        states.append(next_round(SPACE, measure, states[-1], seed=2))
    return states


def test_a_search_comes_near_and_never_loses_its_best() -> None:
    states = searched(begin(SPACE, measure), 60)
    totals = [state.best.score.total for state in states]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < totals[0] / 3
    assert [state.rounds for state in states] == [*range(61)]


def test_a_resumed_search_goes_the_same_way() -> None:
    *_, third, fourth = searched(begin(SPACE, measure), 4)
    read = SearchState.from_json(json.loads(json.dumps(third.to_json())))
    assert read.to_json() == third.to_json()
    assert searched(read, 1)[-1].to_json() == fourth.to_json()


def test_a_damaged_state_is_refused() -> None:
    table = begin(SPACE, measure).to_json()
    with pytest.raises(StudioError, match="state is damaged"):
        SearchState.from_json(table | {"best": 3})
