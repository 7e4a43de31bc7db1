"""Conversions between what networks predict, and guidance."""

import pytest
import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import TARGETS, Prediction, Target, estimate
from app.diffusion.forward import q_sample
from app.diffusion.guidance import GuidedDenoiser
from app.diffusion.schedule import NoiseSchedule
from tests.diffusion.oracles import WavyDenoiser

SCHEDULE = NoiseSchedule.named()


def pictures(seed: int) -> Tensor:
    return torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("target", TARGETS)
def test_the_truth_in_any_terms_gives_back_picture_and_noise(target: Target) -> None:
    x_0, t = pictures(0), torch.tensor([10, 400])
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(1))
    x_t, a = q_sample(SCHEDULE, x_0, t, eps), SCHEDULE.alpha_bar(t).float()
    v = a.sqrt() * eps - (1 - a).sqrt() * x_0
    truth = {"epsilon": eps, "sample": x_0, "v_prediction": v}[target]
    ours = estimate(Prediction(truth, target), x_t, SCHEDULE.alpha_bar(t), clip=False)
    assert torch.allclose(ours.x_0_hat, x_0, atol=1e-4)
    assert torch.allclose(ours.eps_hat, eps, atol=1e-4)


@pytest.mark.parametrize("target", TARGETS)
def test_clipping_keeps_the_two_estimates_consistent_with_x_t(target: Target) -> None:
    t = torch.tensor([600, 900])
    x_t = 2 * torch.randn((2, 3, 4, 4), generator=torch.Generator().manual_seed(2))
    prediction = Prediction(torch.zeros_like(x_t) + 3, target)
    ours = estimate(prediction, x_t, SCHEDULE.alpha_bar(t), clip=True)
    assert ours.x_0_hat.abs().max() <= 1
    assert torch.allclose(q_sample(SCHEDULE, ours.x_0_hat, t, ours.eps_hat), x_t, atol=1e-5)


def test_guidance_of_one_is_no_guidance_and_more_goes_further() -> None:
    network, x_t, t = WavyDenoiser(), pictures(3), torch.tensor([5, 50])
    labels = Condition(torch.tensor([1, 2]))
    towards = network.predict(x_t, t, labels).output
    away = network.predict(x_t, t, Condition(torch.tensor([7, 7]))).output
    plain = GuidedDenoiser(network, 1.0, null_label=7).predict(x_t, t, labels).output
    strong = GuidedDenoiser(network, 3.0, null_label=7).predict(x_t, t, labels).output
    assert torch.allclose(plain, towards, atol=1e-6)
    assert torch.allclose(strong, away + 3 * (towards - away), atol=1e-6)


def test_guidance_keeps_the_conditional_variance() -> None:
    network, x_t, t = WavyDenoiser(learned_variance=True), pictures(4), torch.tensor([5, 50])
    labels = Condition(torch.tensor([1, 2]))
    guided = GuidedDenoiser(network, 2.0, null_label=0).predict(x_t, t, labels)
    expected = network.predict(x_t, t, labels).variance
    assert guided.variance is not None
    assert expected is not None
    assert torch.equal(guided.variance, expected)


def test_guidance_keeps_all_but_the_label_of_what_is_shown() -> None:
    class Recorder(WavyDenoiser):
        def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
            seen.append(condition)
            return super().predict(x_t, t, condition)

    seen: list[Condition | None] = []
    shown = Condition(torch.tensor([1, 2]), low_res_t=torch.tensor([25, 50]))
    GuidedDenoiser(Recorder(), 2.0, 7).predict(pictures(3), torch.tensor([5, 50]), shown)
    (both,) = seen
    assert both is not None
    assert both.labels is not None
    assert both.low_res_t is not None
    assert both.labels.tolist() == [1, 2, 7, 7]
    assert both.low_res_t.tolist() == [25, 50, 25, 50]


def test_outside_its_interval_guidance_asks_for_the_conditional_half_alone() -> None:
    class Counter(WavyDenoiser):
        def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
            rows.append(len(x_t))
            return super().predict(x_t, t, condition)

    rows: list[int] = []
    network, x_t = Counter(learned_variance=True), pictures(4)
    labels = Condition(torch.tensor([1, 2]))
    everywhere = GuidedDenoiser(network, 3.0, 7)
    between = GuidedDenoiser(network, 3.0, 7, first=60, last=40)
    for steps, asked, guided in (
        ([61, 61], 2, []),
        ([60, 60], 4, [0, 1]),
        ([40, 40], 4, [0, 1]),
        ([39, 39], 2, []),
        ([20, 50], 3, [1]),
    ):
        t = torch.tensor(steps)
        plain, full = network.predict(x_t, t, labels), everywhere.predict(x_t, t, labels)
        rows.clear()
        answer = between.predict(x_t, t, labels)
        assert rows == [asked]
        expected = plain.output.clone()
        expected[guided] = full.output[guided]
        assert torch.equal(answer.output, expected)
        assert answer.variance is not None
        assert plain.variance is not None
        assert torch.equal(answer.variance, plain.variance)


def test_guidance_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="needs labels"):
        GuidedDenoiser(WavyDenoiser(), 2.0, 0).predict(pictures(5), torch.tensor([1, 1]), None)
