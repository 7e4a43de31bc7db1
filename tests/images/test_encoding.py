"""Pixels, PNGs with recipes, strips and animations."""

import io
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from app.errors import RecipeError
from app.images.arrays import Pixels
from app.images.encoding import MAX_TEXT, animation, jpeg_bytes, png_bytes
from app.images.pixels import (
    evenly_spaced,
    joined,
    noise_pixels,
    parted,
    picture_pixels,
    to_bytes,
    to_unit,
)
from app.images.sheets import film_strip, tiled, untiled
from app.painting.recipe import Recipe, read_recipe
from tests.images.test_reading import chunk, declared

RECIPE = Recipe(model="tiny", seed=3)


def painting(seed: int = 0, side: int = 16) -> Pixels:
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3))
    return values.astype(np.uint8)


def png_with(text: str, key: str = Recipe.png_key) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(key, text)
    buffer = io.BytesIO()
    Image.fromarray(painting()).save(buffer, "png", pnginfo=info)
    return buffer.getvalue()


def with_text(kind: bytes, body: bytes) -> bytes:
    """A PNG of 60,000 x 60,000 pixels, none of which are there, with a chunk of text."""
    empty = declared(60_000, 60_000)
    return empty[:33] + chunk(kind, Recipe.png_key.encode() + b"\0" + body) + empty[33:]


def test_pixels_cover_the_range_and_clip_what_lies_outside() -> None:
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert picture_pixels(x)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert noise_pixels(x * 3)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_grey_pictures_become_three_equal_channels() -> None:
    pixels = picture_pixels(torch.zeros(2, 1, 4, 4))
    assert pixels.shape == (2, 4, 4, 3)
    assert np.unique(pixels).tolist() == [128]


def test_every_level_comes_back_from_its_number() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(to_bytes(to_unit(levels)), levels)
    colours = np.repeat(levels, 3, axis=3)[:, :, ::-1]  # mirrored, as no tensor can be
    assert np.array_equal(to_bytes(to_unit(colours, 1)), levels[:, :, ::-1])


def test_pictures_side_by_side_come_apart_again() -> None:
    cells = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3)).astype(np.uint8)
    sheet = joined(cells)
    assert np.array_equal(sheet[4:8, 10:15], cells[1, 2])
    assert np.array_equal(parted(sheet, 2, 3), cells)
    pictures = cells.reshape(6, 4, 5, 3)[:5]
    assert np.array_equal(tiled(pictures)[:8, :10], tiled(pictures[[0, 1, 3, 4]], 2))
    assert np.unique(tiled(pictures)[4:, 10:]).tolist() == [255]
    assert np.array_equal(untiled(tiled(pictures), 5), pictures)


def test_a_jpeg_says_nothing_but_its_pixels() -> None:
    image = Image.fromarray(painting())
    image.info["comment"] = b"where it was taken"
    assert jpeg_bytes(image) == jpeg_bytes(painting())


def test_a_png_keeps_its_pixels_and_its_recipe() -> None:
    data = png_bytes(painting(), RECIPE)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), painting())
    assert read_recipe(data) == RECIPE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no PNG"),
        (b"not a picture", "no PNG"),
        (jpeg_bytes(painting()), "no PNG"),
        (png_bytes(painting(), RECIPE)[:40], "no PNG|no recipe"),
        (png_with("{}", "comment"), "no recipe"),
        (png_with("{"), "can't be used"),
        (png_with('{"model": "tiny", "steps": 1e400}'), "can't be used"),
        (png_with("x" * 600_000), "characters long"),
        (b"\x89PNG" * 6_000_000, "no PNG"),
        (with_text(b"zTXt", b"\0no zlib"), "damaged"),
        (with_text(b"iTXt", b"\0"), "damaged"),
    ],
)
def test_files_without_a_usable_recipe_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        read_recipe(data)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"tEXt", RECIPE.to_json().encode()),
        (b"zTXt", b"\0" + zlib.compress(RECIPE.to_json().encode())),
        (b"iTXt", b"\1\0\0\0" + zlib.compress(RECIPE.to_json().encode())),
        (b"iTXt", b"\0\0en\0recipe\0" + RECIPE.to_json().encode()),
    ],
)
def test_a_recipe_is_read_however_it_is_kept_and_no_pixel_is(kind: bytes, body: bytes) -> None:
    assert read_recipe(with_text(kind, body)) == RECIPE


def test_a_bomb_in_a_recipes_place_is_inflated_no_further_than_the_limit() -> None:
    with pytest.raises(RecipeError, match=f"{MAX_TEXT:,} characters long"):
        read_recipe(with_text(b"zTXt", b"\0" + zlib.compress(bytes(3 * MAX_TEXT))))


def test_a_strip_shows_its_pictures_from_left_to_right() -> None:
    shades = [np.full((8, 8, 3), value, np.uint8) for value in (0, 100, 200)]
    strip = np.asarray(film_strip(shades, ["t = 1000", "t = 500", "t = 0"], side=64))
    row = strip[strip.shape[0] // 3, :, 0]
    centres = [int(row[int(strip.shape[1] * (2 * i + 1) / 6)]) for i in range(3)]
    assert centres == [0, 100, 200]


@pytest.mark.parametrize("form", ["gif", "webp"])
def test_an_animation_plays_every_picture_and_holds_the_last(form: str) -> None:
    shades = [np.full((8, 8, 3), value, np.uint8) for value in (0, 100, 200)]
    data = animation(shades, "gif" if form == "gif" else "webp", side=16)
    with Image.open(io.BytesIO(data)) as film:
        assert film.format == form.upper()
        assert getattr(film, "n_frames", 1) == 3
        film.seek(2)
        film.load()
        assert film.info["duration"] == 2000
        assert film.convert("RGB").getpixel((8, 8)) == pytest.approx((200, 200, 200), abs=3)


def test_evenly_spaced_has_first_and_last() -> None:
    assert evenly_spaced(10, 51) == (0, 6, 11, 17, 22, 28, 33, 39, 44, 50)
    assert evenly_spaced(10, 4) == (0, 1, 2, 3)
