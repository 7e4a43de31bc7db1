"""Paintings of 64 px at 256 px, by diffusers alone: how this folder is used without the studio.

    from diffusers import DiffusionPipeline

    how = {"custom_pipeline": FOLDER, "trust_remote_code": True}
    brushwork = DiffusionPipeline.from_pretrained(FOLDER, **how)
    large = brushwork(small, generator=[torch.Generator().manual_seed(0)]).images[0]

`small` is one PIL image or several, square, with a side that 4 divides.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (
    DDPMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    ImagePipelineOutput,
    UNet2DModel,
)
from PIL import Image
from torch import Tensor

_K = torch.arange(4).double()
_ROWS = torch.cos(math.pi * (_K + 0.5) * _K[:, None] / 4) * math.sqrt(0.5)
_ROWS[0] /= math.sqrt(2)
LUMA = torch.einsum("ai,bj->abij", _ROWS, _ROWS).float()
CHROMA = LUMA[:2, :2].reshape(4, 1, 4, 4)
LUMA = LUMA.reshape(16, 1, 4, 4)
YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
BASE = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)


def bicubic(x: Tensor) -> Tensor:
    """Enlarge (B, 3, h, w) to four times its side."""
    return F.interpolate(x, scale_factor=4, mode="bicubic", align_corners=False)


def lanczos(x: Tensor) -> Tensor:
    """Reduce (B, 3, 4h, 4w) to a quarter of its side, as Pillow does."""

    def weights(side: int) -> Tensor:
        found = torch.zeros(side, 4 * side, dtype=torch.float64)
        for i in range(side):
            centre = 4 * i + 2
            first, last = max(0, centre - 12), min(4 * side, centre + 12)
            at = (torch.arange(first, last, dtype=torch.float64) + 0.5 - centre) / 4
            row = torch.sinc(at) * torch.sinc(at / 3)
            found[i, first:last] = row / row.sum()
        return found.float()

    return weights(x.shape[2] // 4) @ x @ weights(x.shape[3] // 4).T


class BrushworkPipeline(DiffusionPipeline):
    """Paints small pictures anew at four times their side.

    Args:
        unet: Of the 24 bands and the small picture, to the velocity of the bands.
        scheduler: The process that it was trained with; sampled by DPM-Solver++ 2M SDE.
    """

    def __init__(self, unet: UNet2DModel, scheduler: DDPMScheduler) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        small: Image.Image | list[Image.Image],
        num_inference_steps: int = 12,
        generator: list[torch.Generator] | None = None,
        noise: int = 0,
        *,
        back_projection: bool = True,
    ) -> ImagePipelineOutput:
        """Paint `small`, one PIL image or a list of them.

        Args:
            small: The small pictures.
            num_inference_steps: From 1 to 1000.
            generator: A generator on the CPU for each picture; None draws other noise each time.
            noise: The paper's t, 0 to 91, of the noise with which the network is shown them.
            back_projection: Whether the result is corrected to be `small` when it is reduced.
        """
        folder = Path(self.config["_name_or_path"])
        bands = json.loads((folder / "bands.json").read_text())
        std = torch.tensor(bands["std"]).view(1, 24, 1, 1)
        s_noise = 1 + bands.get("s_noise", 0) / num_inference_steps
        small = small if isinstance(small, list) else [small]
        pixels = np.stack([np.asarray(each.convert("RGB")) for each in small])
        low_res = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        batch, _, height, width = low_res.shape
        generators = generator or [torch.Generator() for _ in small]
        for each in generators if generator is None else ():
            each.seed()

        def draw(channels: int) -> Tensor:
            shape = (1, channels, height, width)
            return torch.cat([torch.randn(shape, generator=each) for each in generators])

        eps, z = draw(3), draw(24)
        a = BASE[noise - 1].float() if noise else torch.ones(())
        shown = a.sqrt() * low_res + (1 - a).sqrt() * eps
        level = torch.full((batch,), max(0, noise - 1))
        solver = DPMSolverMultistepScheduler.from_config(
            self.scheduler.config, algorithm_type="sde-dpmsolver++", timestep_spacing="trailing"
        )
        solver.set_timesteps(num_inference_steps)
        for t in solver.timesteps:
            x = torch.cat([z, shown], 1).to(self.unet.dtype)
            v = self.unet(x, t.expand(batch), class_labels=level).sample.float()
            z = solver.step(v, t, z, variance_noise=s_noise * draw(24)).prev_sample
        parts, bases = (z * std).split((16, 4, 4), 1), (LUMA, CHROMA, CHROMA)
        planes = [F.conv_transpose2d(p, b, stride=4) for p, b in zip(parts, bases, strict=True)]
        residual = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(YCBCR), torch.cat(planes, 1))
        large = bicubic(low_res) + residual
        for _ in range(2 if back_projection else 0):
            large = large + bicubic(low_res - lanczos(large))
        levels = ((large / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return ImagePipelineOutput(images=[Image.fromarray(each) for each in levels])
