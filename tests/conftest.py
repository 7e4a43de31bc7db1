"""What the tests share: a network that paints in milliseconds, and a real browser."""

import json
import os
import shutil
from collections.abc import Iterator

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.autoencoders.vq_model import VQModel
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.lacking import lacking

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# On a busy machine a first interaction takes seconds; what never comes still fails the test.
expect.set_options(timeout=30_000)


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


def save_tiny_latent_model(folder: Path, kind: str = "AutoencoderKL", **changes: object) -> Path:
    """Write a latent model of random weights, of 32-px pictures, in LDMPipeline's layout.

    Its latents have 4 channels and 8 x 8 places.
    """
    widths = (8, 8, 8)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 3}
    blocks |= {"up_block_types": ("UpDecoderBlock2D",) * 3}
    plain = {"block_out_channels": widths, "norm_num_groups": 4, "latent_channels": 4} | blocks
    kinds: dict[str, tuple[type[ModelMixin], dict[str, object]]] = {
        "AutoencoderKL": (AutoencoderKL, {**plain, "mid_block_add_attention": False}),
        "VQModel": (VQModel, {**plain, "num_vq_embeddings": 32, "mid_block_add_attention": False}),
        "AutoencoderTiny": (
            AutoencoderTiny,
            {
                "encoder_block_out_channels": widths,
                "decoder_block_out_channels": widths,
                "num_encoder_blocks": (1, 1, 1),
                "num_decoder_blocks": (1, 1, 1),
            },
        ),
    }
    of, config = kinds[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder = of(**config | {"scaling_factor": 0.5})
    network = {"sample_size": 8, "in_channels": 4, "out_channels": 4} | changes
    save_tiny_model(folder, **network)
    autoencoder.save_pretrained(folder / "vqvae")
    index = folder / "model_index.json"
    parts = {"_class_name": "LDMPipeline", "vqvae": ["diffusers", kind]}
    index.write_text(json.dumps(json.loads(index.read_text()) | parts))
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"clip_sample": False}))
    return folder


def save_tiny_stage(folder: Path, **changes: object) -> Path:
    """Write a second stage of a few thousand random weights to `folder`."""
    config: dict[str, object] = {
        "sample_size": 16,
        "in_channels": 27,
        "out_channels": 24,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "add_attention": False,
        "class_embed_type": "timestep",
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(**config | changes)
    unet.save_pretrained(folder / "unet")
    process = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
    DDPMScheduler(**process).save_pretrained(folder / "scheduler")
    bands: dict[str, object] = {
        "std": [0.1] * 24,
        "colour": "ycbcr",
        "luma": 16,
        "chroma": 4,
        "low_res_noise": 91,
        "s_noise": 0.4,
    }
    (folder / "bands.json").write_text(json.dumps(bands))
    return folder


def set_timesteps(folder: Path, length: int) -> None:
    """Let the model in `folder` have T = `length`."""
    path = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"num_train_timesteps": length}))


@pytest.fixture(scope="session")
def model_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: `tiny`, `learned` (its variance), `classes` (three and a null).

    And of a second stage, which has the bundled one's name.
    """
    root = tmp_path_factory.mktemp("models")
    save_tiny_model(root / "tiny")
    save_tiny_model(root / "learned", out_channels=6)
    save_tiny_stage(root / "brushwork-256")
    save_tiny_model(root / "classes", num_class_embeds=4)
    (root / "classes" / "labels.json").write_text(
        '{"labels": ["garden", "river", "street"], "null_label": 3, "pictures": [1200, 41, 7]}'
    )
    return root


@pytest.fixture(scope="session")
def latent_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of latent models: one for each class of autoencoder, which it is called by.

    And `classes` (three), `learned` (its variance), and a second stage of the bundled one's name.
    """
    root = tmp_path_factory.mktemp("latent")
    for kind in ("AutoencoderKL", "VQModel", "AutoencoderTiny"):
        save_tiny_latent_model(root / kind, kind)
    save_tiny_latent_model(root / "classes", num_class_embeds=3)
    save_tiny_latent_model(root / "learned", out_channels=8)
    save_tiny_stage(root / "brushwork-256")
    return root


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Chromium; without one the test is skipped, or fails where CI=true."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        lacking("browser tests need Chromium: install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """One browser profile for all pages: what was downloaded and compiled once stays so."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 720}, accept_downloads=True, reduced_motion="reduce"
    )
    yield context
    context.close()


@pytest.fixture
def visitor(profile: BrowserContext) -> Iterator[BrowserContext]:
    """A new visitor's browser, of which the next one's knows nothing but what it downloaded."""
    yield profile
    profile.set_storage_state({"cookies": [], "origins": []})


@pytest.fixture
def browser_page(visitor: BrowserContext) -> Iterator[Page]:
    """An empty page of laptop size, as of a new visitor; errors in it fail the test."""
    page = visitor.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
    yield page
    page.close()
    assert errors == []
