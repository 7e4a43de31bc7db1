"""A model's network and schedule, read from its files."""

from typing import cast

import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from app.diffusion.schedule import NoiseSchedule
from app.engine.schedules import noise_schedule
from app.service.model_files import ModelFiles


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


def load_unet(files: ModelFiles) -> UNet2DModel:
    """The network with its weights in fp32, whatever they are stored in.

    Raises:
        ModelError: If they are missing, damaged, or don't fit its configuration.
    """
    expected = files.num_parameters  # reads the header, so a truncated file is refused by name
    try:
        unet, report = UNet2DModel.from_pretrained(
            files.weights_file.parent,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise files.error(
            f"its weights don't fit its config.json ({str(error).splitlines()[0][:200]})",
            "Copy the whole model folder again.",
        ) from error
    if report["missing_keys"] or report["unexpected_keys"] or report["mismatched_keys"]:
        odd = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
        raise files.error(
            f"{len(odd)} tensors of its {expected:,} weights don't fit config.json ({odd[0]}, ...)",
            "Copy the whole model folder again.",
        )
    unet.eval().requires_grad_(False)
    return cast(UNet2DModel, unet)
