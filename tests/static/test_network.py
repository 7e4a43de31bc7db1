"""Networks as ONNX: the same as torch's, for any number of pictures, with weights in fp16."""

import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from app.models.files import ModelFiles
from app.models.loading import load_unet
from app.models.store import ModelStore
from app.static.network import ExportedNetwork, export_network
from tests.conftest import save_tiny_model
from tests.static.conftest import halve


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A model with classes and a learned variance."""
    root = tmp_path_factory.mktemp("models")
    halve(save_tiny_model(root / "learned", out_channels=6, num_class_embeds=4))
    return ModelStore([root]).find("learned")


@pytest.fixture(scope="module")
def exported(files: ModelFiles) -> ExportedNetwork:
    return export_network(load_unet(files), 16, 3, t=500, label=3)


@pytest.mark.parametrize("pictures", [1, 2, 5])
def test_it_computes_what_torch_does_for_any_number_of_pictures(
    pictures: int, files: ModelFiles, exported: ExportedNetwork
) -> None:
    generator = torch.Generator().manual_seed(pictures)
    x = torch.randn((pictures, 3, 16, 16), generator=generator)
    t, label = torch.arange(pictures) * 100, torch.arange(pictures) % 4
    with torch.no_grad():
        (right,) = load_unet(files)(x, t, label, return_dict=False)
    session = onnxruntime.InferenceSession(exported.onnx)
    feeds = {"x": x.numpy(), "t": t.float().numpy(), "label": label.float().numpy()}
    (out,) = session.run(None, feeds)
    # The learned variance is left out.
    np.testing.assert_allclose(out, right[:, :3].numpy(), atol=2e-5)


def test_its_check_is_what_a_right_runtime_gives(exported: ExportedNetwork) -> None:
    x, right = exported.check
    session = onnxruntime.InferenceSession(exported.onnx)
    feeds = {"x": x, "t": np.full(1, exported.t, "f4"), "label": np.full(1, exported.label, "f4")}
    np.testing.assert_allclose(session.run(None, feeds)[0], right, atol=2e-5)


def test_weights_of_16_bits_are_stored_so_and_not_rounded(
    files: ModelFiles, exported: ExportedNetwork
) -> None:
    stored = onnx.load(io.BytesIO(exported.onnx)).graph.initializer
    halves = sum(int(np.prod(it.dims)) for it in stored if it.data_type == onnx.TensorProto.FLOAT16)
    assert halves > 0.9 * files.num_parameters
    assert not exported.rounded
    # 2 bytes a weight, and what the graph takes.
    assert len(exported.onnx) < 2 * files.num_parameters + 250_000


@pytest.mark.slow
def test_weights_of_32_bits_are_rounded_which_is_told(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "tiny")
    unet = load_unet(ModelStore([tmp_path]).find("tiny"))
    assert export_network(unet, 16, 3, t=500, label=None).rounded
