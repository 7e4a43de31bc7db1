"""Inpainting: what is kept is kept at every step, whatever the sampler, and jumps are q's own."""

import pytest
import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Estimate, Prediction
from app.diffusion.inpainting import (
    FINISH,
    STRETCHES,
    ConsistentDenoiser,
    KnownPart,
    ResamplingSampler,
    resampled,
)
from app.diffusion.reverse import Frame, reverse_process, spaced_timesteps
from app.diffusion.samplers.base import Sampler
from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise

SCHEDULE = NoiseSchedule.named("linear", 1000)
SIDE = 8
SAMPLERS = sorted(name for name, kind in SAMPLER_KINDS.items() if kind.variance is None)


class Guessing:
    """A network that predicts whatever: the picture's own mean, and so no known part of it."""

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        return Prediction(0.3 * torch.tanh(x_t), "sample")


def known(feather: int = 0) -> KnownPart:
    x_0 = torch.rand((1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1)) * 2 - 1
    mask = torch.zeros((1, 1, SIDE, SIDE), dtype=torch.bool)
    mask[..., 2:7, 2:8] = True
    return KnownPart.outside(x_0, mask, feather)


def painted(sampler: str, part: KnownPart, timesteps: Tensor, *, jumps: bool) -> list[Frame]:
    kind = SAMPLER_KINDS[sampler]

    def make(steps: Tensor) -> Sampler:
        return kind.make(SCHEDULE, steps, 0.5)

    noise = SeededNoise([3, 4])
    return list(
        reverse_process(
            ConsistentDenoiser(Guessing(), SCHEDULE, part.blended, clip=True),
            SCHEDULE,
            noise.draw((3, SIDE, SIDE)),
            timesteps,
            sampler=(ResamplingSampler(SCHEDULE, timesteps, make) if jumps else make(timesteps)),
            noise=noise,
            jumps=jumps,
        )
    )


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_keeps_what_is_known(sampler: str, jumps: bool) -> None:
    part, timesteps = known(), spaced_timesteps(12, 1000)
    frames = painted(sampler, part, resampled(timesteps, 2 if jumps else 1), jumps=jumps)
    kept = (part.weight == 0).expand(2, 3, -1, -1)
    x_0 = part.x_0.expand(2, -1, -1, -1)
    for frame in frames[:-1]:
        assert torch.equal(frame.x_0_hat[kept], x_0[kept])
    assert torch.allclose(frames[-1].x_t[kept], x_0[kept], atol=1e-4)
    assert torch.equal(part.restored(frames[-1].x_t)[kept], x_0[kept])
    assert not torch.allclose(frames[-1].x_t[~kept], x_0[~kept], atol=0.05)


def test_x_t_of_what_is_known_has_the_forward_process_noise() -> None:
    part = known()
    kept = (part.weight == 0).expand(2, 3, -1, -1)
    frames = painted("ddim", part, spaced_timesteps(50, 1000), jumps=False)
    for frame in frames[5:-1:9]:
        signal = SCHEDULE.level(frame.t).signal
        left = frame.x_t - signal**0.5 * part.x_0
        assert float(left[kept].std()) == pytest.approx((1 - signal) ** 0.5, rel=0.25)


def test_the_edge_is_feathered_inside_the_mask_alone() -> None:
    plain, soft = known().weight[0, 0], known(feather=1).weight[0, 0]
    assert torch.equal(plain == 0, soft == 0)
    assert float(soft[2, 4]) == 0.5
    assert float(soft[4, 4]) == 1
    assert float(soft[4, 7]) == 1, "beyond the picture nothing is known"


@pytest.mark.parametrize("steps", [1, 6, 50, 250])
def test_each_stretch_but_the_last_is_walked_as_often_as_asked(steps: int) -> None:
    timesteps = spaced_timesteps(steps, 1000)
    walk = resampled(timesteps, 3)
    assert torch.equal(walk.unique().flip(0), timesteps)
    often = torch.stack([(walk == t).sum() for t in timesteps])
    end = int((often == 1).sum())
    assert often.tolist() == [3] * (steps - end) + [1] * end
    assert end <= FINISH * steps
    assert int((walk.diff() >= 0).sum()) == 2 * min(steps - end, round((1 - FINISH) * STRETCHES))
    assert torch.equal(resampled(timesteps, 1), timesteps)


class Still:
    """A sampler that leaves the picture, and notes its steps."""

    def __init__(self, steps: Tensor, seen: list[tuple[int, int]]) -> None:
        self._steps, self._seen = steps.tolist(), seen

    def step(self, estimate: Estimate, x_t: Tensor, index: int, noise: SeededNoise) -> Tensor:
        below = self._steps[index + 1] if index + 1 < len(self._steps) else -1
        self._seen.append((self._steps[index], below))
        return x_t


def test_a_jump_noises_by_q_and_begins_another_sampler() -> None:
    walk, seen = torch.tensor([9, 7, 9, 7, 5, 3, 5, 3]), list[tuple[int, int]]()
    sampler = ResamplingSampler(SCHEDULE, walk, lambda steps: Still(steps, seen))
    x, nothing = torch.zeros((1, 1, 64, 64)), Estimate(torch.zeros(1), torch.zeros(1))
    noise = SeededNoise([5])
    left = [sampler.step(nothing, x, index, noise) for index in range(len(walk))]
    assert seen == [(9, 7), (7, 5), (9, 7), (7, 5), (5, 3), (3, -1), (5, 3), (3, -1)]
    jumped = [index for index, x_s in enumerate(left) if bool(x_s.any())]
    assert jumped == [1, 5]
    for index, t, s in ((1, 9, 5), (5, 5, -1)):
        a = SCHEDULE.alpha_bar(torch.tensor([t])) / SCHEDULE.alpha_bar(torch.tensor([s]))
        assert float(left[index].var()) == pytest.approx(float(1 - a), rel=0.06)


def test_the_rest_of_a_walk_goes_on_as_the_whole_would() -> None:
    part, walk = known(), resampled(spaced_timesteps(50, 1000), 2)
    seen: list[tuple[int, int]] = []
    rest = walk[3:]
    sampler = ResamplingSampler(SCHEDULE, rest, lambda steps: Still(steps, seen))
    x, nothing = part.x_0, Estimate(part.x_0, part.x_0)
    for index in range(len(rest)):
        sampler.step(nothing, x, index, SeededNoise([5]))
    whole = torch.tensor([*spaced_timesteps(50, 1000).tolist(), -1]).tolist()
    assert all(whole[whole.index(t) + 1] == s for t, s in seen)


def test_a_variance_of_the_networks_is_passed_on() -> None:
    class Learned(Guessing):
        def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
            return Prediction(x_t, "epsilon", torch.full_like(x_t, 0.25))

    consistent = ConsistentDenoiser(Learned(), SCHEDULE, known().blended, clip=True)
    answer = consistent.predict(torch.ones((1, 3, SIDE, SIDE)), torch.tensor([400]), None)
    assert answer.variance is not None
    assert bool((answer.variance == 0.25).all())
    assert answer.target == "sample"


def test_timesteps_go_up_only_where_that_is_said() -> None:
    walk = resampled(spaced_timesteps(6, 1000), 2)
    kind = SAMPLER_KINDS["ddpm"]
    stream = reverse_process(
        Guessing(),
        SCHEDULE,
        torch.zeros((1, 3, SIDE, SIDE)),
        walk,
        sampler=kind.make(SCHEDULE, walk.unique().flip(0), 0.0),
        noise=SeededNoise([1]),
    )
    with pytest.raises(ValueError, match="descend"):
        next(stream)
