"""A model's network and schedule, read from its files."""

from collections import OrderedDict
from typing import Final, cast

import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from app.diffusion.schedule import NoiseSchedule
from app.engine.schedules import noise_schedule
from app.service.model_files import ModelFiles

_BUILDING: Final = (
    *(ArithmeticError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)
"""What diffusers raises on configurations that it can't build a network by."""


def schedule_of(files: ModelFiles) -> NoiseSchedule:
    """The schedule that the model was trained with.

    Raises:
        ModelError: If its numbers are impossible.
    """
    try:
        return noise_schedule(files.scheduler_config)
    except (ValueError, TypeError) as error:
        raise files.error(
            f"its noise schedule is impossible ({error})", "Mend its file."
        ) from error


def empty_network(files: ModelFiles) -> UNet2DModel:
    """The network that config.json describes, without memory for its weights.

    Raises:
        ModelError: If no such network can be built.
    """
    try:
        with torch.device("meta"):
            return cast(UNet2DModel, UNet2DModel.from_config(files.unet_config))
    except _BUILDING as error:
        raise files.error(
            f"its config.json describes no network that can be built ({_first_line(error)})",
            "Copy the whole model folder again.",
        ) from error


def check_fits(files: ModelFiles) -> None:
    """See that the stored tensors are those of the network that config.json describes.

    Nothing is allocated: a small file can come with the configuration of a huge network.

    Raises:
        ModelError: If a tensor is missing, unknown, or of another shape.
    """
    network = empty_network(files)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # Attention has other names in the first models.
    stored = OrderedDict(files.shapes)
    network._fix_state_dict_keys_on_load(stored)
    odd = [name for name in wanted | stored if wanted.get(name) != stored.get(name)]
    if odd:
        raise files.error(
            f"{len(odd)} tensors of its {files.num_parameters:,} weights don't fit config.json "
            f"({odd[0]}, ...)",
            "Copy the whole model folder again.",
        )


def load_unet(files: ModelFiles) -> UNet2DModel:
    """The network with its weights in fp32, whatever they are stored in.

    Raises:
        ModelError: If they are missing, damaged, or don't fit its configuration.
    """
    check_fits(files)
    try:
        unet = UNet2DModel.from_pretrained(
            files.weights_file.parent,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
        )
    except (OSError, *_BUILDING) as error:
        raise files.error(
            f"its weights can't be read ({_first_line(error)})",
            "Copy the whole model folder again.",
        ) from error
    unet.eval().requires_grad_(False)
    return cast(UNet2DModel, unet)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
