"""Immiscible assignment reorders noise, and nothing else."""

import itertools

import torch

from app.training.batches import immiscible


def squared_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    return float(((x - y) ** 2).sum())


def test_the_assignment_is_the_best_of_all_orders() -> None:
    draw = torch.Generator().manual_seed(0)
    x_0 = torch.rand((5, 1, 2, 2), generator=draw) * 2 - 1
    eps = torch.randn(x_0.shape, generator=draw)
    orders = itertools.permutations(range(5))
    best = min(squared_distance(x_0, eps[list(order)]) for order in orders)
    assert abs(squared_distance(x_0, immiscible(x_0, eps)) - best) < 1e-4


def test_it_only_reorders() -> None:
    draw = torch.Generator().manual_seed(1)
    x_0, eps = torch.randn((2, 8, 3, 4, 4), generator=draw)
    matched = immiscible(x_0, eps)
    assert sorted(map(tuple, matched.flatten(1).tolist())) == sorted(
        map(tuple, eps.flatten(1).tolist())
    )


def test_the_noise_stays_standard_normal_while_the_distance_falls() -> None:
    """Pooled over pictures and batches: mean, variance, kurtosis and correlations of N(0, I)."""
    draw = torch.Generator().manual_seed(2)
    # Unlike pictures: two far clusters, so that a biased assignment would show.
    centres = torch.tensor([-0.8, 0.8]).repeat(8).view(16, 1, 1, 1)
    plain, matched, noises = 0.0, 0.0, []
    for _ in range(600):
        x_0 = centres + 0.1 * torch.randn((16, 1, 2, 2), generator=draw)
        eps = torch.randn(x_0.shape, generator=draw)
        paired = immiscible(x_0, eps)
        plain += squared_distance(x_0, eps)
        matched += squared_distance(x_0, paired)
        noises.append(paired.flatten(1))
    assert matched < 0.8 * plain
    pooled = torch.cat(noises).double()  # 9,600 draws of 4 values
    assert float(pooled.mean(0).abs().max()) < 0.04
    covariance = pooled.T.cov()
    assert float((covariance - torch.eye(4)).abs().max()) < 0.05
    assert abs(float((pooled**4).mean()) - 3) < 0.2
