"""Two processes under torchrun take the step that one takes with their batches joined."""

import json
from pathlib import Path

import pytest
import torch

from app.errors import StudioError
from app.training import checkpoint
from app.training.distributed import Processes
from app.training.resume import open_run
from tests.torchrun import torchrun
from tests.training.tiny import config, fields, no_init


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one_with_the_doubled_batch(
    data: Path, tmp_path: Path
) -> None:
    changes = {
        "batch_size": 4,
        "accumulate": 2,
        "phases": [{"size": 16, "views": 8}],
        "gradient_clip": 0.5,
        "immiscible": True,
        "held_out_share": 0.2,
    }
    stored = tmp_path / "settings.json"
    stored.write_text(json.dumps(fields(data, **changes)))
    two = tmp_path / "two"
    done = torchrun("-m", "app", "train", "--config", str(stored), "--out", str(two))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Finished at step 2 of 2") == 1

    one = tmp_path / "one"
    with open_run(config(data, **changes | {"accumulate": 1}), one, load_init=no_init) as run:
        for step in run.steps():
            run.after(step)
    losses = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (one, two)
    ]
    for ours, theirs in zip(*losses, strict=True):
        assert ours["step"] == theirs["step"]
        for name in ("loss", "gradient_norm", "mean"):
            if name in ours:
                assert theirs[name] == pytest.approx(ours[name], rel=1e-4)
    # The mean of gradients after two steps: a sum over all that both steps' gradients were.
    moments = [
        checkpoint.read_tensors(folder / "checkpoints" / "00000002" / "exp_avg.safetensors")
        for folder in (one, two)
    ]
    for name, moment in moments[0].items():
        torch.testing.assert_close(moments[1][name], moment, rtol=1e-3, atol=1e-6)


def test_a_batch_that_cannot_be_shared_is_refused(data: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(StudioError, match="can't be shared among 3 processes"),
        open_run(
            config(data), tmp_path / "run", load_init=no_init, processes=Processes(0, 3, None)
        ),
    ):
        pass


def test_the_rows_of_all_processes_and_parts_are_the_batch() -> None:
    rows = [Processes(rank, 2).rows(12, part, 3) for part in range(3) for rank in range(2)]
    assert [i for part in rows for i in range(12)[part]] == list(range(12))
