"""Bound: terms that add up, errors that hold, subjects as they should be."""

import math
from pathlib import Path

import numpy as np
import pytest

from app.errors import RecipeError
from app.images.pixels import picture_pixels
from app.laboratory.bound import BoundLab
from app.laboratory.bound_results import BoundMoment
from app.laboratory.experiments import BoundRequest, Subject
from app.models.store import ModelStore
from app.painting.film import ReplayStep
from app.painting.painter import Painter
from app.painting.runs import at_once
from tests.laboratory.pictures import network_calls, painted, upload

PICTURE = Subject(source=upload(), name="upload")
SHUFFLED = Subject(kind="shuffled", source=upload(), name="shuffled")
NOISE = Subject(kind="noise", name="plain noise")


@pytest.fixture
def lab(model_root: Path, short_root: Path) -> BoundLab:
    return BoundLab(Painter(ModelStore([model_root, short_root])))


def bounding(**changes: object) -> BoundRequest:
    return BoundRequest.checked({"model": "tiny", "subjects": (PICTURE,), "terms": 12} | changes)


def moments(lab: BoundLab, wish: BoundRequest) -> list[BoundMoment]:
    (found,) = lab.bounds.result(wish).moments
    return list(found)


def test_all_terms_add_up_to_the_total(lab: BoundLab) -> None:
    found = moments(lab, bounding(model="short", terms=None))
    assert [m.t for m in found] == [100, *range(100, 0, -1)]
    assert [m.kind for m in found] == ["prior", *["step"] * 99, "decoder"]
    terms = [m.subjects[0].bpd for m in found]
    last = found[-1].subjects[0]
    assert last.total == pytest.approx(math.fsum(terms))
    assert last.total == pytest.approx(last.prior + last.vb + (last.decoder or 0))
    errors = [m.subjects[0].bpd_error or 0 for m in found]
    assert last.total_error == pytest.approx(math.sqrt(math.fsum(e**2 for e in errors)))


@pytest.mark.slow
def test_a_strided_estimate_holds_within_its_error(lab: BoundLab) -> None:
    truth = moments(lab, bounding(model="short", terms=None, draws=8))[-1].subjects[0]
    for seed in range(5):
        strided = moments(lab, bounding(model="short", terms=20, seed=seed))
        assert len(strided) == 22
        assert sum(m.weight for m in strided[1:-1]) == pytest.approx(99)
        last = strided[-1].subjects[0]
        assert last.total_error is not None
        assert 0 < last.total_error < 0.3 * truth.total
        error = math.hypot(last.total_error, truth.total_error or 0)
        assert abs(last.total - truth.total) < 3 * error


def test_rate_rises_to_the_total_while_distortion_falls(lab: BoundLab) -> None:
    run = [m.subjects[0] for m in moments(lab, bounding())]
    rates = [s.rate for s in run]
    assert rates == sorted(rates)
    assert rates[1] == run[0].prior
    assert run[-1].total == pytest.approx(rates[-1] + run[-1].bpd)
    assert run[0].distortion is None
    assert (run[1].distortion or 0) > 10 * (run[-1].distortion or 0) > 0


def test_a_single_draw_tells_no_error(lab: BoundLab) -> None:
    last = moments(lab, bounding(draws=1))[-1].subjects[0]
    assert last.bpd_error is None
    assert last.total_error is None


def test_the_same_seed_gives_the_same_bound_in_any_company(lab: BoundLab) -> None:
    alone = moments(lab, bounding())[-1].subjects[0]
    among = moments(lab, bounding(subjects=(PICTURE, NOISE, SHUFFLED)))[-1].subjects[0]
    assert among.total == pytest.approx(alone.total, rel=1e-4)
    assert moments(lab, bounding(seed=1))[-1].subjects[0].total != alone.total


def test_shuffling_keeps_the_pixels_and_noise_has_all_levels(lab: BoundLab) -> None:
    model, wish = lab._models.load("tiny"), bounding(subjects=(PICTURE, SHUFFLED, NOISE))
    picture, shuffled, noise = picture_pixels(at_once(lab._x_0(wish, model)))
    assert not np.array_equal(picture, shuffled)
    rows = [sorted(map(tuple, p.reshape(-1, 3).tolist())) for p in (picture, shuffled)]
    assert rows[0] == rows[1]
    assert noise.min() < 8
    assert noise.max() > 247
    assert noise.std() == pytest.approx(255 / math.sqrt(12), rel=0.1)


@pytest.mark.parametrize("clip", [True, False])
def test_clipping_is_a_switch(lab: BoundLab, clip: bool) -> None:
    early = moments(lab, bounding(clip=clip))[1].subjects[0]
    # An untrained network's x_0_hat from pure noise is far outside of [-1, 1].
    assert ((early.distortion or 0) < 256) is clip


def test_a_learned_variance_is_used_where_there_is_one(lab: BoundLab) -> None:
    learned = bounding(model="learned", variance="learned")
    fixed = bounding(model="learned", variance="fixed_small")
    assert moments(lab, learned)[3].subjects[0].bpd != moments(lab, fixed)[3].subjects[0].bpd
    with pytest.raises(RecipeError, match="did not learn"):
        lab.complete(bounding(variance="learned"))


def test_a_painted_subject_is_painted_once_before_its_terms(lab: BoundLab) -> None:
    wish = bounding(
        subjects=(Subject(source=painted()), Subject(kind="shuffled", source=painted()))
    )
    steps = lab.network_steps(wish)
    with network_calls() as calls:
        stream = list(lab.bounds.stream(wish))
    assert sum(isinstance(item, ReplayStep) for item in stream) == 3
    assert len(calls.t) == steps == 3 + 12 + 1


def test_large_batches_go_through_the_network_in_parts(lab: BoundLab) -> None:
    with network_calls() as calls:
        moments(lab, bounding(terms=2, draws=20))
    assert [len(t) for t in calls.t] == [16, 4] * 3


def test_closing_ends_the_networks_work(lab: BoundLab) -> None:
    with network_calls() as calls:
        stream = lab.bounds.stream(bounding(terms=None))
        next(stream), next(stream), next(stream)
        stream.close()
    assert len(calls.t) == 1


def test_weights_fall_with_t_where_the_simple_loss_has_one(lab: BoundLab) -> None:
    weights = lab.weights("tiny")
    assert (weights.t[0], weights.t[-1], len(weights.t)) == (1, 1000, 500)
    assert weights.vlb[1] > 20 * weights.vlb[-1]


def test_what_the_model_cannot_do_is_refused(lab: BoundLab) -> None:
    with pytest.raises(RecipeError, match="has no classes"):
        next(lab.bounds.stream(bounding(label=1)))
    with pytest.raises(RecipeError, match="never estimated"):
        next(lab.bounds.stream(bounding(variance="analytic")))
    with pytest.raises(RecipeError, match="no class 3"):
        next(lab.bounds.stream(bounding(model="classes", label=3)))


def test_a_bound_without_a_class_is_that_of_any(lab: BoundLab) -> None:
    anything, garden = (
        lab.bounds.result(bounding(model="classes", label=label)).moments[-1][-1].subjects[0]
        for label in (None, 0)
    )
    assert anything.total != garden.total
