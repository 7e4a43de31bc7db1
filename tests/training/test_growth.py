"""A model that is given classes and a learned variance predicts at first as it did before."""

from pathlib import Path

import pytest
import torch

from app.datasets.labels import Classes
from app.diffusion.conditioning import Condition
from app.errors import StudioError
from app.models.files import ModelFiles
from app.training.architecture import check_architecture, grown, load_initial_model
from app.training.resume import open_run
from app.training.trainer import TrainState
from tests.conftest import save_tiny_model
from tests.training.tiny import CPU, config, save_pictures

CLASSES = Classes(("garden", "river"), (12, 12))
LABELS = {"source": "folders", "dropout": 0.2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


def test_what_is_grown_predicts_as_before_whatever_the_class(data: Path, tmp_path: Path) -> None:
    files = ModelFiles("tiny", save_tiny_model(tmp_path / "tiny"))
    settings = config(data, init="tiny", network=None, labels=LABELS, objective="hybrid")
    x_t, t = torch.randn(3, 3, 16, 16), torch.tensor([0, 400, 999])
    before = TrainState.new(load_initial_model(files), settings, CPU).forward(x_t, t, None)
    initial = grown(load_initial_model(files), settings, CLASSES)
    check_architecture(initial.architecture, settings, CLASSES)
    shown = Condition(torch.tensor([0, 1, 2]))
    out = TrainState.new(initial, settings, CPU).forward(x_t, t, shown)
    assert torch.equal(out[:, :3], before)
    assert not out[:, 3:].any()
    assert initial.architecture.scheduler["variance_type"] == "learned_range"


def test_the_new_parts_learn_and_the_export_names_the_classes(data: Path, tmp_path: Path) -> None:
    files = ModelFiles("tiny", save_tiny_model(tmp_path / "tiny"))
    settings = config(
        data, init="tiny", network=None, labels=LABELS, objective="hybrid",
        learning_rate=1e-4, label_learning_rate=1e-3,
    )  # fmt: skip
    with open_run(settings, tmp_path / "run", load_init=lambda _: load_initial_model(files)) as run:
        before = run.state.weights()["time_embedding.linear_1.weight"].clone()
        for _, step in zip(range(6), run.steps(), strict=False):
            run.after(step)
        weights = run.state.weights()
        embedding = float(weights["class_embedding.weight"].abs().max())
        moved = float((weights["time_embedding.linear_1.weight"] - before).abs().max())
        # AdamW moves a weight by about its rate a step.
        assert 4 < embedding / moved < 25
        assert bool(weights["conv_out.weight"][3:].any())
        run.save()
    exported = ModelFiles("run", tmp_path / "run" / "model")
    assert exported.labels is not None
    assert (exported.labels.labels, exported.labels.pictures) == (["garden", "river"], [12, 12])
    with open_run(settings, tmp_path / "run", load_init=lambda _: pytest.fail("asked")) as run:
        assert run.state.step == 6
        next(run.steps())


def test_what_a_model_has_stays(data: Path, tmp_path: Path) -> None:
    files = ModelFiles("tiny", save_tiny_model(tmp_path / "tiny", out_channels=6))
    initial = load_initial_model(files)
    hybrid = config(data, init="tiny", network=None, objective="hybrid")
    assert grown(initial, hybrid, None) is initial
    plain = config(data, init="tiny", network=None)
    assert grown(initial, plain, None) is initial
    with pytest.raises(StudioError, match="learns its variance"):
        check_architecture(initial.architecture, plain, None)
    with pytest.raises(StudioError, match="needs labels"):
        config(data, label_learning_rate=1e-3)
