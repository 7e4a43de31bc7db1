"""A model folder as the start of a training."""

from app.service.model_files import ModelFiles
from app.service.weights import load_unet, schedule_of
from app.training.trainee import Architecture, Trainee


def load_trainee(files: ModelFiles) -> Trainee:
    """The model in `files`, its weights in fp32 even if they are stored in fp16.

    Raises:
        ModelError: If its files are missing, broken, or no DDPM's.
    """
    schedule_of(files)  # refuses impossible numbers by the model's name
    return Trainee(architecture_of(files), load_unet(files))


def architecture_of(files: ModelFiles) -> Architecture:
    """The model in `files` without its weights.

    Raises:
        ModelError: If its configurations are missing, broken, or no DDPM's.
    """
    labels = files.labels
    return Architecture(
        files.unet_config,
        files.scheduler_config,
        labels.names if labels else (),
        labels.null_label if labels else None,
    )
