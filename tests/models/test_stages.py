"""A second stage's folder: what it must hold, and what is said of one that doesn't."""

import json
from pathlib import Path

import pytest

from app.errors import ModelError
from app.models.store import ModelStore
from tests.conftest import save_tiny_stage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_stage(tmp_path / "brush")


def change_bands(folder: Path, **changes: object) -> None:
    path = folder / "bands.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_stage_is_listed_apart_from_models(model_root: Path) -> None:
    store = ModelStore([model_root])
    (info,) = store.stages()
    assert (info.id, info.num_train_timesteps, info.low_res_noise) == ("brushwork-256", 1000, 91)
    assert "brushwork-256" not in {model.id for model in store.list()}
    with pytest.raises(ModelError, match="no model 'brushwork-256'"):
        store.load("brushwork-256")
    with pytest.raises(ModelError, match="no second stage 'tiny'"):
        store.load_stage("tiny")
    # In memory they share a shelf, and yet neither is given for the other.
    store.load("tiny"), store.load_stage("brushwork-256")
    with pytest.raises(ModelError, match="no model 'brushwork-256'"):
        store.load("brushwork-256")
    with pytest.raises(ModelError, match="no second stage 'tiny'"):
        store.load_stage("tiny")


def test_the_bundled_stage_can_be_loaded() -> None:
    stage = ModelStore([Path("models")]).load_stage("brushwork-256")
    assert stage.info.parameters == 6_716_632
    assert stage.bands.std.shape == (24,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"luma": 64}, "aren't those of an enlargement by 4"),
        ({"std": [0.1] * 23}, "23 numbers"),
        ({"std": [0.0] * 24}, "std"),
        ({"colour": "lab"}, "colour"),
        ({"low_res_noise": -1}, "low_res_noise"),
        ({"s_noise": 3.0}, "s_noise"),
    ],
)
def test_wrong_bands_are_named(folder: Path, changes: dict[str, object], reason: str) -> None:
    change_bands(folder, **changes)
    store = ModelStore([folder.parent])
    assert store.stages() == ()
    with pytest.raises(ModelError, match=reason):
        store.load_stage("brush")


def test_without_bands_it_is_no_stage(folder: Path) -> None:
    (folder / "bands.json").unlink()
    with pytest.raises(ModelError, match="no second stage 'brush'"):
        ModelStore([folder.parent]).load_stage("brush")


@pytest.mark.parametrize(
    "shape", [{"in_channels": 24}, {"out_channels": 48}, {"class_embed_type": None}]
)
def test_another_network_is_refused(tmp_path: Path, shape: dict[str, object]) -> None:
    save_tiny_stage(tmp_path / "odd", **shape)
    with pytest.raises(ModelError, match="no second stage's"):
        ModelStore([tmp_path]).load_stage("odd")


def test_changed_weights_are_refused(folder: Path) -> None:
    name = "unet/diffusion_pytorch_model.safetensors"
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(ModelError, match="SHA256SUMS"):
        ModelStore([folder.parent]).load_stage("brush")
