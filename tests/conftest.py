"""What the tests share: a network small enough to paint with in milliseconds."""

import json
import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler


def save_tiny_model(folder: Path, **changes: object) -> Path:
    """Write a 16-px DDPM of under 0.2 M random weights in diffusers' layout to `folder`."""
    config: dict[str, object] = {
        "sample_size": 16,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "attention_head_dim": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(**config | changes)
    assert unet.num_parameters() < 200_000
    learned = unet.config["out_channels"] == 2 * unet.config["in_channels"]
    scheduler = DDPMScheduler(variance_type="learned_range" if learned else "fixed_small")
    DDPMPipeline(unet, scheduler).save_pretrained(folder)
    return folder


def set_timesteps(folder: Path, length: int) -> None:
    """Let the model in `folder` have T = `length`."""
    path = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"num_train_timesteps": length}))


@pytest.fixture(scope="session")
def model_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: `tiny`, `learned` (its variance), `classes` (three and a null)."""
    root = tmp_path_factory.mktemp("models")
    save_tiny_model(root / "tiny")
    save_tiny_model(root / "learned", out_channels=6)
    save_tiny_model(root / "classes", num_class_embeds=4)
    (root / "classes" / "labels.json").write_text(
        '{"labels": ["garden", "river", "street"], "null_label": 3}'
    )
    return root
