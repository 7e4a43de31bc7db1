"""The search's distances are the panel's, without the intervals."""

import numpy as np
import pytest

from app.evaluation.features import RandomNetwork
from app.evaluation.metrics import patch_distance, squared_mmd
from app.evaluation.quick_distances import KernelDistance, PatchQuantiles, QuickJudge, Score
from tests.training.pictures import landscapes

PAINTINGS, SAMPLES = landscapes(60, 32, seed=1), landscapes(30, 32, seed=2) // 2


def test_the_kernels_distance_is_the_panels() -> None:
    space = RandomNetwork()
    ours, theirs = space(SAMPLES), space(PAINTINGS)
    panel = squared_mmd(ours, theirs)(np.ones((1, len(ours))), np.ones((1, len(theirs))))
    assert KernelDistance(theirs)(ours) == pytest.approx(float(panel[0]), rel=1e-9)


def test_the_patches_distance_is_nearly_the_panels() -> None:
    panel = patch_distance(SAMPLES, PAINTINGS, seed=4).mean.value
    assert PatchQuantiles(PAINTINGS, seed=4)(SAMPLES) == pytest.approx(panel, rel=0.03)
    assert PatchQuantiles(PAINTINGS)(PAINTINGS) == 0


def test_a_score_is_in_units_of_chance() -> None:
    judge = QuickJudge(PAINTINGS, {"random": RandomNetwork()}, 30, seed=1)
    near, far = judge.score(landscapes(30, 32, seed=3)), judge.score(SAMPLES)
    assert set(near.parts) == {"random", "patches"}
    assert abs(near.parts["random"]) < 2
    assert far.total > near.total + 5


def test_a_score_is_written_with_its_parts() -> None:
    assert str(Score({"style": 1.0, "patches": 0.25})) == "1.250 (style 1.00, patches 0.25)"
