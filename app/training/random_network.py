"""A fixed convolutional network with random weights: a feature space that no data has shaped.

Random networks rank generative models much as trained ones do (Lee et al. 2022,
https://arxiv.org/abs/2208.09218) and share none of their habits. This one is four 3x3
convolutions, each followed by a rectifier and by halving; the features are the channels' means
after each, so that fine texture and coarse colour both have a say. Weights and scales follow
from the seed alone: each channel is scaled on noise with the 1 / f spectrum that pictures have,
without which the strong low frequencies would drown the rest.
"""

import hashlib
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from app.training.features import Pixels, as_tensor
from app.training.intervals import Floats

CHANNELS: Final = (32, 64, 128, 256)

SMALLEST: Final = 2 ** len(CHANNELS)
"""The side of the smallest pictures that can be halved that often."""

ZERO_SUM: Final = 0.75
"""The share of a layer's filters that answer to no flat colour: they see edges and texture."""

CALIBRATION: Final = (64, 64)
"""Pictures of noise that the scales are taken from, and their side."""

_BATCH: Final = 64


class RandomNetwork:
    """The network of one seed, called with pictures (N, S, S, 3) uint8; 480 features each."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._digest = hashlib.sha256()
        h = pink_noise(*CALIBRATION, generator)
        self._layers: list[tuple[Tensor, Tensor]] = []
        channels = h.shape[1]
        for width in CHANNELS:
            weight = torch.randn(width, channels, 3, 3, generator=generator)
            self._digest.update(weight.numpy().tobytes())
            flat_blind = round(ZERO_SUM * width)
            weight[:flat_blind] -= weight[:flat_blind].mean((2, 3), keepdim=True)
            response = _convolve(h, weight, torch.zeros(width))
            mean, deviation = response.mean((0, 2, 3)), response.std((0, 2, 3))
            self._layers.append((weight / deviation.view(-1, 1, 1, 1), -mean / deviation))
            h = F.avg_pool2d(F.relu(_convolve(h, *self._layers[-1])), 2)
            channels = width

    @property
    def sha256(self) -> str:
        """Of the weights as drawn: equal hashes mean that figures can be compared.

        The scales are left out, for their last bits depend on the processor.
        """
        return self._digest.hexdigest()

    @torch.inference_mode()
    def __call__(self, pictures: Pixels) -> Floats:
        """(N, 480).

        Raises:
            ValueError: If the pictures are too small to be halved four times.
        """
        if pictures.shape[1] < SMALLEST:
            raise ValueError(f"the random network needs pictures of {SMALLEST} px")
        parts = []
        for i in range(0, len(pictures), _BATCH):
            h = as_tensor(pictures[i : i + _BATCH], 3)
            means = []
            for weight, bias in self._layers:
                h = F.relu(_convolve(h, weight, bias))
                means.append(h.mean((2, 3)))
                h = F.avg_pool2d(h, 2)
            parts.append(torch.cat(means, 1).numpy())
        return np.concatenate(parts).astype(np.float64)


def pink_noise(count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, 3, size, size) of deviation 0.5, amplitude 1 / f; mostly light, some hue."""
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
