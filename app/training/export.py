"""A trained model as a folder that diffusers' DDPMPipeline, and so the studio, loads."""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn

from app.training.files import (
    TEMPORARY,
    remove,
    replaced_folder,
    sync_below,
    sync_folder,
    write_bytes,
)
from app.training.trainee import Architecture


def export_model(
    folder: Path,
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    *,
    size: int,
    half: bool = False,
) -> None:
    """Write the model to `folder`, which mustn't be there yet; all of it or nothing.

    Args:
        folder: Where to.
        architecture: The model without its weights.
        weights: By the names of diffusers' state_dict.
        size: The side of its pictures in pixels.
        half: Whether to store the weights in fp16.

    Raises:
        OSError: If it can't be written.
    """
    network = architecture.network()
    module: nn.Module = network
    dtype = torch.float16 if half else torch.float32
    plain = {name: value.detach().cpu().to(dtype).contiguous() for name, value in weights.items()}
    module.load_state_dict(plain, assign=True)
    network.register_to_config(sample_size=size)
    with replaced_folder(folder) as temporary:
        scheduler = DDPMScheduler.from_config(architecture.scheduler)
        DDPMPipeline(network, scheduler).save_pretrained(temporary)
        if architecture.labels:
            labels = {"labels": list(architecture.labels), "null_label": architecture.null_label}
            write_bytes(temporary / "labels.json", json.dumps(labels, indent=2).encode())
        sync_below(temporary)


def replace_model(link: Path, target: Path, kept: Collection[str] = ()) -> None:
    """Point the link `link` at the folder `target` beside or below it, in one instant.

    A folder can't take another's place in one step, but a link can. What else lies beside
    `target` is removed, but for the names in `kept`.
    """
    temporary = link.with_name(TEMPORARY + link.name)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.relative_to(link.parent), target_is_directory=True)
    os.replace(temporary, link)
    sync_folder(link.parent)
    for other in target.parent.iterdir():
        if other.name != target.name and other.name not in kept:
            remove(other)
