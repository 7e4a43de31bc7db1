"""What a person sees of a run over latents, and what of a picture is kept in their space.

Frames of latents become frames of pictures before anybody looks at them. A decoder takes as long
as a few steps, so that it makes x_0_hat at some moments only (`LatentSpace.decoded_every`), which
are the same each time a recipe is painted. In between, x_0_hat is the last such picture, moved as
far as the colours of its latent have moved since. While x_t is nearly all noise, x_0_hat is shown
by its colours alone, as x_t and eps_hat always are: a decoder would make grain of it.
"""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.inpainting import KnownPart
from app.diffusion.reverse import Frame
from app.models.loading import LatentSpace, LoadedModel
from app.painting.film import LatentFrame, ReplayStep

VISIBLE: Final = 0.05
"""The signal, alpha_bar, from which on x_0_hat is decoded."""

Seen = TypeVar("Seen", Frame, Frame | ReplayStep)


def picture_frames(
    model: LoadedModel,
    frames: Iterator[Seen],
    kept: Sequence[int],
    known: KnownPart | None = None,
) -> Iterator[Seen]:
    """Turn a model's frames into frames of pictures, which those of most models are.

    Args:
        model: The model.
        frames: Its frames.
        kept: The indices of the moments that are kept, of which the last is the number of steps.
            Of a latent model it is decoded, and so are some before it.
        known: What of the finished pictures is kept, where something is.
    """
    return _decoded(model.latents, frames, kept, known) if model.latents else frames


def _decoded(
    space: LatentSpace, frames: Iterator[Seen], kept: Sequence[int], known: KnownPart | None
) -> Iterator[Seen]:
    detail: Tensor | float = 0.0
    decoded: Sequence[int] | None = None
    for frame in frames:
        if isinstance(frame, ReplayStep):
            yield frame
            continue
        if decoded is None and frame.level.signal >= VISIBLE:
            left, most = [i for i in kept[:-1] if i >= frame.index], kept[-1] // space.decoded_every
            decoded = left[:: ceil(len(left) / most)] if left and most else []
        clean = frame.eps_hat is None
        colours = space.linear.picture(frame.x_0_hat, smooth=True)
        x_0_hat = colours + detail
        if frame.index == kept[-1] or frame.index in (decoded or ()):
            x_0_hat = space.decode(frame.x_0_hat)
            detail = x_0_hat - colours
        if clean and known:
            x_0_hat = known.blended(x_0_hat)
        yield LatentFrame(
            *(frame.index, frame.total, frame.t, frame.level),
            x_t=x_0_hat if clean else space.linear.picture(frame.x_t),
            x_0_hat=x_0_hat,
            eps_hat=None if frame.eps_hat is None else space.linear.unit_noise(frame.eps_hat),
            z_t=frame.x_t,
        )


def diffused(model: LoadedModel, known: KnownPart) -> KnownPart:
    """Return what is kept of what the model diffuses, where a part of its pictures is `known`.

    A place of a latent is kept where all pixels under it are; its picture's seam is mended when it
    is finished.
    """
    if model.info.latent is None:
        return known
    hole = F.max_pool2d((known.weight > 0).float(), model.info.latent.factor)
    return KnownPart.outside(model.encode(known.x_0), torch.as_tensor(hole).bool(), 0)
