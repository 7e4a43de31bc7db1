"""A condition is cut, joined, moved and sent elsewhere with all that it holds."""

import pickle

import torch

from app.diffusion.conditioning import Condition

LABELLED = Condition(torch.tensor([1, 2, 3]))
SMALL = torch.arange(3.0)[:, None, None, None].expand(3, 3, 2, 2)
ENLARGED = Condition(low_res=SMALL, low_res_t=torch.tensor([0, 30, 90]))


def test_a_part_is_cut_from_every_field() -> None:
    part = ENLARGED.rows(slice(1, 3))
    assert part.low_res is not None
    assert part.low_res_t is not None
    assert torch.equal(part.low_res, SMALL[1:])
    assert part.low_res_t.tolist() == [30, 90]
    labels = LABELLED.rows(torch.tensor([2, 0])).labels
    assert labels is not None
    assert labels.tolist() == [3, 1]


def test_parts_join_to_the_whole() -> None:
    for shown in (LABELLED, ENLARGED):
        whole = Condition.joined([shown.rows(slice(0, 1)), shown.rows(slice(1, None))])
        for name in ("labels", "low_res", "low_res_t"):
            before, after = getattr(shown, name), getattr(whole, name)
            assert (before is None and after is None) or torch.equal(before, after)


def test_every_field_is_moved() -> None:
    moved = ENLARGED.to(torch.device("meta"))
    assert moved.labels is None
    assert moved.low_res is not None
    assert moved.low_res_t is not None
    assert {moved.low_res.device.type, moved.low_res_t.device.type} == {"meta"}


def test_it_travels_between_processes() -> None:
    there = pickle.loads(pickle.dumps(ENLARGED))
    assert torch.equal(there.low_res, SMALL)
    assert there.labels is None


def test_one_label_is_given_to_every_picture() -> None:
    shown = Condition.of_label(2, 3)
    assert shown is not None
    assert shown.labels is not None
    assert shown.labels.dtype == torch.int64
    assert shown.labels.tolist() == [2, 2, 2]
    assert Condition.of_label(None, 3) is None
