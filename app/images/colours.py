"""What the numbers in a picture's file mean: how many bits, which are transparent, which colours.

Pillow hands the numbers over as they lie in the file. Here they become what a viewer shows: sRGB of
8 bits a channel, on white where the picture is transparent.
"""

import io
import re
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

BAND: Final = 4_000_000
"""The pixels that are turned into sRGB at once: their copies take little memory beside the rest."""

_MODES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's name for the pictures that a profile of each colour space describes."""


def has_known_range(image: Image.Image) -> bool:
    """Tell whether it is known which numbers are black and white; of 32 bits nobody says."""
    # Pillow gives the 16 bits of a PPM in a mode of 32.
    return image.mode != "F" and (image.mode != "I" or image.format == "PPM")


@dataclass(frozen=True)
class Encoding:
    """What a file says about its numbers, some of which Pillow forgets as it decodes them.

    Attributes:
        bits: Of a channel.
        inverted: Whether 0 is white, and Pillow leaves it so.
        transparent: The colour, or its index, that is transparent; or the opacity of each index.
        profile: The ICC profile of the colours; empty where there is none.
    """

    bits: int
    inverted: bool
    transparent: Any
    profile: bytes

    @classmethod
    def of(cls, image: Image.Image) -> Self:
        """Read it from the header of a picture that isn't decoded yet."""
        bits, inverted = 8, False
        if isinstance(image, TiffImageFile):
            bits = int(image.tag_v2.get(BITSPERSAMPLE, (1,))[0])
            zero_is_white = image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0
            inverted = zero_is_white and image.mode.startswith("I;16")
        elif isinstance(image, PngImageFile) and image.tile:
            packed = re.search(r";(\d+)", str(image.tile[0].args))  # such as "L;4"
            bits = int(packed[1]) if packed else 8
        info = image.info
        return cls(bits, inverted, info.get("transparency"), info.get("icc_profile") or b"")

    def to_srgb(self, image: Image.Image) -> Image.Image:
        """Turn the decoded picture into RGB, without anything else that the file said."""
        rows = max(1, BAND // image.width)
        if rows >= image.height:
            return self._part_to_srgb(image)
        whole = Image.new("RGB", image.size)
        for top in range(0, image.height, rows):
            band = (0, top, image.width, min(top + rows, image.height))
            whole.paste(self._part_to_srgb(image.crop(band)), band)
        return whole

    def _part_to_srgb(self, image: Image.Image) -> Image.Image:
        if image.mode.startswith("I"):
            image = self._of_eight_bits(image)
        elif isinstance(self.transparent, int | tuple) and image.mode in ("L", "RGB"):
            image.info["transparency"] = self._transparent_in_eight_bits()
        if image.has_transparency_data:
            layer = image.convert(f"{_without_opacity(image.mode)}A")
            colours = self._in_srgb(layer).convert("RGBA")
            colours.putalpha(layer.getchannel("A"))
            ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
            image = Image.alpha_composite(ground, colours).convert("RGB")
        else:
            image = self._in_srgb(image)
        image.info.clear()
        return image

    def _of_eight_bits(self, image: Image.Image) -> Image.Image:
        """Scale grey of up to 16 bits, which Pillow would clip at 255."""
        values = np.asarray(image)
        # Pillow has scaled a PPM to 16 bits, and leaves a TIFF as it is.
        largest = 2 ** (16 if image.mode == "I" else self.bits) - 1
        scaled = (values.astype(np.float64) * (255 / largest)).round()
        grey = Image.fromarray((255 - scaled if self.inverted else scaled).astype(np.uint8))
        if self.transparent is not None:
            opaque = np.where(values == self.transparent, 0, 255).astype(np.uint8)
            return Image.merge("LA", (grey, Image.fromarray(opaque)))
        return grey

    def _transparent_in_eight_bits(self) -> int | tuple[int, ...]:
        """Return the transparent colour of a PNG as Pillow has decoded it."""

        # Fewer bits than 8 are scaled; of 16 the upper 8 are kept.
        def scaled(value: int) -> int:
            return value >> 8 if self.bits == 16 else value * 255 // (2**self.bits - 1)

        it = self.transparent
        return tuple(map(scaled, it)) if isinstance(it, tuple) else scaled(it)

    def _in_srgb(self, image: Image.Image) -> Image.Image:
        """Turn colours into sRGB; a profile that is damaged, or of other channels, says nothing."""
        if not self.profile:
            return image.convert("RGB")
        own = image.mode if image.mode in ("CMYK", "LAB") else _without_opacity(image.mode)
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(self.profile))
            described = _MODES.get(profile.profile.xcolor_space, "")
            if described != own and (described, own) != ("RGB", "L"):
                return image.convert("RGB")
            srgb = ImageCms.createProfile("sRGB")
            transform = ImageCms.buildTransform(profile, srgb, described, "RGB")
            return transform.apply(image.convert(described))
        except (OSError, ImageCms.PyCMSError):
            return image.convert("RGB")


def _without_opacity(mode: str) -> str:
    """Return the mode of grey pictures for grey, and of RGB for any other colours."""
    return "L" if mode in ("1", "L", "LA") else "RGB"
