"""Latent models paint: diffusers' arithmetic, and all that a recipe of any model can do."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from PIL import Image
from torch import Tensor

from app.diffusion.inpainting import KnownPart
from app.diffusion.seeds import SeededNoise
from app.images.arrays import Pixels
from app.images.pixels import NOISE_RANGE, picture_pixels, to_unit
from app.models.autoencoders import SCALING
from app.models.loading import LatentSpace, LoadedStage
from app.models.store import ModelStore
from app.painting.canvas import Canvas, decoded, encoded_mask
from app.painting.film import Moment
from app.painting.latents import VISIBLE, diffused
from app.painting.painter import Painter
from app.painting.recipe import Recipe, read_recipe
from app.painting.sampling import noised
from app.painting.stages import HandOver, stage_moments
from tests.laboratory.pictures import network_calls, upload

LDMPipeline = import_module("diffusers").LDMPipeline

MODEL = "AutoencoderKL"
SIDE = 32


@pytest.fixture(scope="module")
def painter(latent_root: Path) -> Painter:
    return Painter(ModelStore([latent_root], "cpu", 1))


def recipe(**changes: object) -> Recipe:
    return Recipe.checked({"model": MODEL, "steps": 6, "seed": 42} | changes)


def moments(painter: Painter, wish: Recipe) -> list[Moment]:
    return [item for item in painter.films.stream(wish) if isinstance(item, Moment)]


def painting(painter: Painter, wish: Recipe) -> Pixels:
    return moments(painter, wish)[-1].x_t


@contextmanager
def decodings() -> Iterator[list[Tensor]]:
    """Record the latents that are decoded."""
    found, real = list[Tensor](), LatentSpace.decode

    def recorded(self: LatentSpace, z: Tensor) -> Tensor:
        found.append(z.clone())
        return real(self, z)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatentSpace, "decode", recorded)
        yield found


@pytest.mark.parametrize("kind", SCALING)
def test_ddim_paints_what_diffusers_own_pipeline_paints(
    painter: Painter, latent_root: Path, kind: str
) -> None:
    pipeline = LDMPipeline.from_pretrained(latent_root / kind)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(42)
    images = pipeline(generator=generator, num_inference_steps=5, output_type="np").images
    wish = recipe(model=kind, sampler="ddim", steps=5, spacing="leading")
    found = painting(painter, wish).astype(int)
    assert np.abs(found - np.round(255 * images)).max() <= 1


def test_a_step_of_ddpm_is_diffusers_own_over_latents(painter: Painter, latent_root: Path) -> None:
    pipeline = LDMPipeline.from_pretrained(latent_root / MODEL)
    with network_calls() as calls:
        stream = painter.films.stream(recipe(sampler="ddpm", steps=1000, spacing="leading"))
        next(stream), next(stream)
    noise = SeededNoise([42])
    z = noise.draw((4, 8, 8))
    assert torch.equal(calls.x_t[0], z)
    draw = noise.draw((4, 8, 8))
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: draw)
        out = pipeline.unet(z, 999).sample
        after = scheduler.step(out, 999, z).prev_sample
    assert torch.allclose(calls.x_t[1], after, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm-solver-sde"])
def test_the_same_recipe_paints_the_same_film(latent_root: Path, sampler: str) -> None:
    wish = recipe(sampler=sampler, eta=0.5, pictures=2)
    first = moments(Painter(ModelStore([latent_root], "cpu", 1)), wish)
    again = moments(Painter(ModelStore([latent_root], "cpu", 1)), Recipe.from_json(wish.to_json()))
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.x_t, other.x_t)
        assert np.array_equal(one.x_0_hat, other.x_0_hat)
    assert not np.array_equal(first[-1].x_t[0], first[-1].x_t[1])


def test_every_moment_is_shown_at_the_pictures_side(painter: Painter) -> None:
    found = moments(painter, recipe(pictures=2))
    assert [moment.index for moment in found] == list(range(7))
    for moment in found:
        views = [moment.x_t, moment.x_0_hat, *([] if moment.eps_hat is None else [moment.eps_hat])]
        assert {view.shape for view in views} == {(2, SIDE, SIDE, 3)}
    assert found[-1].eps_hat is None
    assert np.array_equal(found[-1].x_t, found[-1].x_0_hat)


def test_latents_are_never_clipped(painter: Painter) -> None:
    clipped, free = (painting(painter, recipe(sampler="ddpm", clip=clip)) for clip in (True, False))
    assert np.array_equal(clipped, free)


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 50, 300])
def test_a_run_takes_at_most_half_as_long_again_and_a_decoding(
    painter: Painter, steps: int
) -> None:
    space = painter.models.load(MODEL).latents
    assert space
    with decodings() as found:
        film = painter.films.stream(recipe(steps=steps, sampler="ddim"))
        list(film)
    # decoded_every is at least twice what a decoding costs, in steps.
    assert len(found) - 1 <= steps / space.decoded_every
    assert steps < space.decoded_every or len(found) > 1


def test_what_is_decoded_is_the_estimate_itself(painter: Painter) -> None:
    model = painter.models.load(MODEL)
    with decodings() as found:
        film = moments(painter, recipe())
    first = next(moment for moment in film if moment.signal >= VISIBLE)
    assert first.index > 0
    assert np.array_equal(first.x_0_hat, picture_pixels(model.decode(found[0])))
    assert np.array_equal(film[-1].x_t, picture_pixels(model.decode(found[-1])))


def test_noise_is_shown_by_its_colours(painter: Painter) -> None:
    model, first = painter.models.load(MODEL), moments(painter, recipe())[0]
    z = SeededNoise([42]).draw((4, 8, 8))
    assert np.array_equal(first.x_t, picture_pixels(model.seen(z)))
    blocks = first.x_t[0].reshape(8, 4, 8, 4, 3)
    assert np.array_equal(blocks, np.broadcast_to(blocks[:, :1, :, :1], blocks.shape))


def test_the_channels_are_those_of_what_is_diffused(painter: Painter) -> None:
    with network_calls() as calls:
        film = moments(painter, recipe(sampler="ddim", pictures=2))
    for moment, z_t in zip(film, calls.x_t, strict=False):
        assert moment.channels is not None
        assert moment.channels.shape == moment.x_t.shape
        cells = moment.channels[:, ::2, ::2, 0].reshape(2, 2, 8, 2, 8).transpose(0, 1, 3, 2, 4)
        wanted = (z_t / NOISE_RANGE / 2 + 0.5).clamp(0, 1) * 255
        assert np.abs(cells.reshape(z_t.shape) - wanted.numpy()).max() <= 0.51
    assert len(film) == len(calls.x_t) + 1


def test_a_branch_goes_on_from_its_parents_latent(painter: Painter) -> None:
    parent = recipe(sampler="ddpm")
    with network_calls() as calls:
        painting(painter, parent)
    branch = painter.branch(parent, 3, variations=2, seed=7)
    with network_calls() as again:
        pictures = painting(painter, branch)
    assert torch.equal(again.x_t[-3], calls.x_t[3].expand(2, -1, -1, -1))
    assert np.array_equal(pictures, painting(painter, branch))
    assert not np.array_equal(pictures[0], pictures[1])


def test_a_little_different_varies_the_latent(painter: Painter) -> None:
    varied = painter.variations(recipe(), 2, seed=5, strength=0.1)
    own, (near, _) = painting(painter, recipe())[0], painting(painter, varied)
    assert not np.array_equal(own, near)
    same = painter.variations(recipe(), 2, seed=5, strength=0.0)
    assert np.abs(painting(painter, same)[1].astype(int) - own).max() <= 1


def test_the_png_and_the_film_hold_all_it_takes(painter: Painter) -> None:
    (result,) = painter.films.pictures(painter.complete(recipe()).request)
    again = read_recipe(result.png())
    assert again.weights == painter.models.find(MODEL).weights_sha256
    assert np.array_equal(painting(painter, again)[0], result.pixels)
    assert Image.open(io.BytesIO(result.strip())).format == "PNG"
    assert result.animation("gif").startswith(b"GIF")
    assert painter.films.remembered(painter.complete(recipe()).request) is not None


def test_classes_and_a_learned_variance_are_as_of_other_models(painter: Painter) -> None:
    garden, river = (painting(painter, recipe(model="classes", label=i)) for i in (0, 1))
    assert not np.array_equal(garden, river)
    assert painting(painter, recipe(model="learned", sampler="ddpm-learned")).shape[1] == SIDE


def from_picture(**changes: object) -> Recipe:
    wish = {"sampler": "ddim", "source": str(upload(3, SIDE).pixels), "start_t": 500}
    return recipe(**wish | changes)


def test_a_run_from_a_picture_begins_with_its_latent_noised(painter: Painter) -> None:
    wish, model = from_picture(), painter.models.load(MODEL)
    canvas = Canvas.of(wish, model.info)
    assert canvas
    with network_calls() as calls:
        painting(painter, wish)
    eps = SeededNoise([42]).draw((4, 8, 8))
    x_t = noised(model.schedule, model.encode(canvas.x_0), 500, eps)
    assert torch.allclose(calls.x_t[0], x_t, atol=1e-6)


def test_what_a_mask_keeps_is_kept_to_the_pixel(painter: Painter) -> None:
    box = np.zeros((SIDE, SIDE), np.uint8)
    box[9:20, 10:23] = 255
    mask = encoded_mask(Image.fromarray(box))
    wish = from_picture(mask=mask, start_t=None, sampler="dpm-solver-sde")
    found = painting(painter, wish)[0]
    source = np.asarray(decoded(str(wish.source)))
    assert np.array_equal(found[box == 0], source[box == 0])
    assert not np.array_equal(found[box > 0], source[box > 0])
    careful = painting(painter, wish.model_copy(update={"resampling": 3}))[0]
    assert np.array_equal(careful[box == 0], source[box == 0])


def test_a_place_of_a_latent_is_kept_where_all_pixels_under_it_are(painter: Painter) -> None:
    model, hole = painter.models.load(MODEL), torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    hole[..., 3, 4] = True
    known = KnownPart.outside(torch.zeros(1, 3, SIDE, SIDE), hole, 1)
    kept = diffused(model, known)
    assert torch.equal(kept.x_0, model.encode(known.x_0))
    assert kept.weight.nonzero().tolist() == [[0, 0, 0, 1]]


def test_the_second_stage_enlarges_decoded_pictures(painter: Painter) -> None:
    wish = recipe(size=4 * SIDE, stage_steps=2, pictures=2)
    small, found = moments(painter, recipe(pictures=2)), moments(painter, wish)
    assert [moment.index for moment in found] == list(range(10))
    assert found[-1].x_t.shape == (2, 4 * SIDE, 4 * SIDE, 3)
    assert np.array_equal(found[6].x_t, small[-1].x_t)


@pytest.mark.parametrize("truncation", [40, 500])
def test_a_truncated_run_hands_over_the_decoded_estimate(painter: Painter, truncation: int) -> None:
    wish = recipe(size=4 * SIDE, stage_steps=2, stage_truncation=truncation, steps=50)
    given, real = list[HandOver](), stage_moments

    def recorded(
        stage: LoadedStage, recipe: Recipe, handed: HandOver, before: int
    ) -> Iterator[Moment]:
        given.append(handed)
        return real(stage, recipe, handed, before)

    with decodings() as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.painting.stages.stage_moments", recorded)
        assert moments(painter, wish)[-1].x_t.shape[1] == 4 * SIDE
    (handed,) = given
    model = painter.models.load(MODEL)
    low_res = to_unit(picture_pixels(model.decode(found[-1])))
    assert torch.equal(handed.low_res, low_res)
    assert (handed.t, handed.x_t) == (0, None)
