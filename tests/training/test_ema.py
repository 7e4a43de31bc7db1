"""The averages have the power-function profile that EDM2 defines."""

import numpy as np
import pytest
import torch

from app.training.optimisers import PowerEma, power_exponent


@pytest.mark.parametrize("sigma_rel", [0.05, 0.10, 0.25])
def test_the_profile_has_the_width_that_was_asked_for(sigma_rel: float) -> None:
    gamma = power_exponent(sigma_rel)
    ages = (np.arange(1_000_000) + 0.5) / 1_000_000
    weights = ages**gamma / (ages**gamma).sum()
    mean = (weights * ages).sum()
    assert np.sqrt((weights * (ages - mean) ** 2).sum()) == pytest.approx(sigma_rel, rel=1e-4)


def test_after_many_steps_each_weighs_as_a_power_of_its_age() -> None:
    steps = 400
    parameter = torch.zeros(steps, dtype=torch.float64)
    ema = PowerEma([parameter], 0.10)
    for step in range(1, steps + 1):
        parameter.zero_()
        parameter[step - 1] = 1  # so that the average's entry i is the weight of step i
        ema.update([parameter], step)
    ages = torch.arange(1, steps + 1, dtype=torch.float64)
    expected = ages**ema.gamma / (ages**ema.gamma).sum()
    weights = ema.values[0]
    assert float(weights.sum()) == pytest.approx(1)
    torch.testing.assert_close(weights[100:], expected[100:], rtol=0.06, atol=1e-9)


def test_what_was_there_before_the_first_step_is_forgotten() -> None:
    ema = PowerEma([torch.full((3,), 9.0)], 0.05)
    ema.update([torch.ones(3)], 1)
    assert ema.values[0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("sigma_rel", [0.0, -0.1, 0.28, 1.0])
def test_an_impossible_width_is_refused(sigma_rel: float) -> None:
    with pytest.raises(ValueError, match="sigma_rel"):
        power_exponent(sigma_rel)
