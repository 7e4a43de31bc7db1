"""The panel: held-out loss against its formula, and figures that move the way they should."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Prediction, Target
from app.diffusion.schedule import NoiseSchedule
from app.evaluation.features import RandomNetwork
from app.evaluation.judge import Judge, held_out_loss, loss_batches, loss_figures
from app.models.store import ModelStore
from tests.training.pictures import Pixels, landscapes

SCHEDULE = NoiseSchedule.named()


class Oracle:
    """Knows that x_0 is 0, so it finds the noise; answers in any terms, off by `error`."""

    def __init__(self, target: Target, error: float = 0.0) -> None:
        self.target: Target = target
        self.error = error
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.labels: list[Condition | None] = []

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        self.seen.append((x_t, t))
        self.labels.append(condition)
        a = SCHEDULE.alpha_bar(t).to(x_t)
        eps = x_t / (1 - a).sqrt() + self.error
        match self.target:
            case "epsilon":
                return Prediction(eps, "epsilon")
            case "sample":
                return Prediction((x_t - (1 - a).sqrt() * eps) / a.sqrt(), "sample")
            case _:
                x_0 = (x_t - (1 - a).sqrt() * eps) / a.sqrt()
                return Prediction(a.sqrt() * eps - (1 - a).sqrt() * x_0, "v_prediction")


@pytest.mark.parametrize("target", ["epsilon", "sample", "v_prediction"])
def test_the_loss_is_the_squared_error_of_eps_whatever_is_predicted(target: Target) -> None:
    x_0 = torch.zeros(10, 3, 8, 8)
    assert held_out_loss(Oracle(target), SCHEDULE, x_0).mean == pytest.approx(0, abs=1e-4)
    off = held_out_loss(Oracle(target, error=0.5), SCHEDULE, x_0)
    assert off.mean == pytest.approx(0.25, rel=1e-2)
    assert off.by_quarter == pytest.approx([0.25] * 4, rel=2e-2)


def test_each_quarter_of_t_has_as_many_noises_and_all_of_its_range() -> None:
    oracle = Oracle("epsilon")
    loss = held_out_loss(oracle, SCHEDULE, torch.zeros(50, 3, 4, 4), draws=2)
    found = loss_figures(loss, 50)
    t = torch.cat([t for _, t in oracle.seen])
    assert len(oracle.seen) == loss_batches(50) == 25
    assert torch.bincount(t // 250).tolist() == [100] * 4
    assert t[:100].sort().values.diff().max() <= 3
    assert (found.pictures, found.draws) == (50, 2)
    assert found.mean.value == pytest.approx(loss.mean)
    assert [quarter.value for quarter in found.quarters] == pytest.approx(loss.by_quarter)


def test_a_network_that_answers_nothing_has_a_loss_of_one() -> None:
    class Silent:
        def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
            return Prediction(torch.zeros_like(x_t))

    found = loss_figures(held_out_loss(Silent(), SCHEDULE, torch.zeros(64, 3, 8, 8)), 64)
    assert found.mean.low < 1 < found.mean.high
    assert found.mean.value == pytest.approx(1, abs=0.02)


def test_the_noise_is_the_same_each_time_and_another_with_another_seed() -> None:
    first, again, other = (Oracle("epsilon") for _ in range(3))
    for oracle, seed in ((first, 1), (again, 1), (other, 2)):
        held_out_loss(oracle, SCHEDULE, torch.zeros(3, 3, 4, 4), seed=seed)
    assert torch.equal(first.seen[0][0], again.seen[0][0])
    assert not torch.equal(first.seen[0][0], other.seen[0][0])


def test_a_model_with_classes_is_asked_with_the_label_given(model_root: Path) -> None:
    oracle = Oracle("epsilon")
    held_out_loss(oracle, SCHEDULE, torch.zeros(2, 3, 4, 4), label=3)
    given = [None if shown is None else shown.labels for shown in oracle.labels]
    assert all(labels is not None and set(labels.tolist()) == {3} for labels in given)
    model = ModelStore([model_root]).load("classes")
    loss = held_out_loss(
        model.denoiser("exact"), model.schedule, torch.zeros(2, 3, 16, 16), label=3
    )
    assert np.isfinite(loss.mean)


def worse(pictures: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 30, pictures.shape)
    return np.clip(pictures + noise, 0, 255).astype(np.uint8)


def test_bad_samples_are_told_from_good_ones_by_every_figure() -> None:
    judge = Judge(landscapes(40, 32, seed=1), {"random": RandomNetwork()})
    good = judge.compare(landscapes(60, 32, seed=2))
    bad = judge.compare(worse(landscapes(60, 32, seed=2)))
    (good_space,), (bad_space,) = good.spaces, bad.spaces
    assert (good.samples, good.reference, good_space.space) == (60, 40, "random")
    assert good_space.squared_mmd.low < bad_space.squared_mmd.low
    assert good_space.squared_mmd.high < bad_space.squared_mmd.low
    assert good_space.precision.value > bad_space.precision.value
    assert good.patches.mean.high < bad.patches.mean.low
    assert good.spectrum.error.high < bad.spectrum.error.low


def test_samples_of_one_kind_lose_recall_and_keep_precision() -> None:
    reference = landscapes(60, 32, seed=1)
    judge = Judge(reference, {"random": RandomNetwork()})
    few = worse(np.repeat(landscapes(60, 32, seed=1)[:3], 10, axis=0) // 2 + 64)
    collapsed, varied = judge.compare(few).spaces[0], judge.compare(landscapes(60, 32, 2)).spaces[0]
    assert collapsed.recall.value < 0.5 < varied.recall.value
