"""A network as ONNX: weights in fp16, computed in fp32, for any number of pictures at once.

All inputs are float32, so that every runtime takes them: `x` (B, C, H, W), `t` (B,), and `label`
(B,) where the network takes one: its class, or a second stage's timestep of the small picture.
"""

import logging
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from numpy.typing import NDArray
from torch import Tensor, nn

from app.errors import StudioError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET: Final = 18
MAX_BATCH: Final = 64
SMALL: Final = 16
"""Tensors of no more numbers than this stay as they are: there is nothing to save."""

CHECK_SEED: Final = 0

EXTRA: Final = '"onnx>=1.19,<2" "onnxscript>=0.5,<1"'
"""What the extra `static` installs."""


class _Network(nn.Module):
    """The network with its inputs as floats, and a learned variance left out."""

    def __init__(self, unet: UNet2DModel, channels: int) -> None:
        super().__init__()
        self.unet, self.channels = unet, channels

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Map `x` (B, C, H, W), `t` and `label` (B,) to (B, `channels`, H, W)."""
        whole = None if label is None else label.long()
        (out,) = self.unet(x, t.long(), whole, return_dict=False)
        return torch.as_tensor(out)[:, : self.channels]


@dataclass(frozen=True, eq=False)
class ExportedNetwork:
    """A network in a file, and what a runtime that computes rightly makes of one input.

    Attributes:
        onnx: The file.
        check: The input x (1, C, H, W), and the output for it (1, C', H, W), float32.
        t: The timestep of both.
        label: Their label; None where the network takes none.
        rounded: Whether weights were no numbers of fp16, and so were rounded.
    """

    onnx: bytes
    check: tuple[NDArray[np.float32], NDArray[np.float32]]
    t: int
    label: int | None
    rounded: bool


def export_network(
    unet: UNet2DModel, side: int, channels: int, *, t: int, label: int | None
) -> ExportedNetwork:
    """Export a network, and compute what it makes of seeded noise.

    Args:
        unet: In fp32.
        side: The side of its pictures, in pixels.
        channels: The channels of its output that are kept: those before a learned variance.
        t: The code's timestep of the check.
        label: A label that it takes; None where it takes none.

    Raises:
        StudioError: If the extra `static` isn't installed.
    """
    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        raise StudioError(
            "The packages onnx and onnxscript are not installed.",
            f"Install them: python -m pip install {EXTRA}.",
        )
    generator = torch.Generator().manual_seed(CHECK_SEED)
    # The exporter would take an example of one picture for all there ever is.
    x = torch.randn((2, unet.config["in_channels"], side, side), generator=generator)
    network, inputs = _Network(unet, channels).eval(), {"x": x, "t": torch.full((2,), float(t))}
    if label is not None:
        inputs["label"] = torch.full((2,), float(label))
    with torch.no_grad():
        right = network(**{name: values[:1] for name, values in inputs.items()})
    model = _exported(network, inputs)
    rounded = _halve_weights(model)
    check = x[:1].numpy(), right.numpy()
    return ExportedNetwork(model.SerializeToString(), check, t, label, rounded)


def _exported(network: nn.Module, inputs: dict[str, Tensor]) -> "ModelProto":
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    # It warns of torchvision, and of its own ways.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            kwargs=inputs,
            input_names=[*inputs],
            output_names=["out"],
            dynamic_shapes={name: {0: batch} for name in inputs},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise TypeError("torch.onnx.export returned no program")
    return program.model_proto


def _halve_weights(model: "ModelProto") -> bool:
    """Store the weights in fp16, each cast back where it is used; tell whether any was rounded."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    graph, casts, kept, rounded = model.graph, [], [], False
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        fits = tensor.data_type == TensorProto.FLOAT and values.size > SMALL
        if not fits or np.abs(values).max() > np.finfo(np.float16).max:
            kept.append(tensor)
            continue
        halves, name = values.astype(np.float16), f"{tensor.name}.half"
        rounded |= not np.array_equal(halves, values)
        kept.append(numpy_helper.from_array(halves, name))
        casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
    for node in graph.node:  # each tells from which line of which file it came
        del node.metadata_props[:]
        node.ClearField("doc_string")
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return rounded
