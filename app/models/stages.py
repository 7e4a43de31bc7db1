"""Second stages: networks that paint a small picture at four times its side.

A stage's folder is in diffusers' layout, as a model's is, and has a bands.json beside: what has to
be known of the bands that the network paints, and of the noise with which it may be shown the small
picture.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Literal

import torch
from pydantic import Field, model_validator

from app.diffusion.cascade import BANDS, CHROMA_BANDS, LUMA_BANDS, RATIO, Bands
from app.diffusion.schedule import NoiseSchedule
from app.errors import ModelError
from app.models.fields import ConfigFields, NetworkFields
from app.models.files import ModelFiles, ModelInfo

BANDS_FILE: Final = "bands.json"

SIDES: Final = range(16, 129, RATIO)
"""The sides of small pictures that a stage enlarges, in pixels."""


class BandFields(ConfigFields):
    """Fields of a bands.json.

    Attributes:
        std: The deviation of each band, the 16 of luma first.
        colour: The colours whose first is luma.
        luma: The number of luma's bands, the square of how many times larger pictures become.
        chroma: The number of bands of each chroma.
        low_res_noise: The largest of the paper's t at which the network has been shown small
            pictures, noised by the paper's schedule; 0 where they were always clean.
        s_noise: How far the deviation of the sampler's noise is over 1, times the number of steps:
            few steps lose more detail.
    """

    std: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    colour: Literal["ycbcr"]
    luma: int
    chroma: int
    low_res_noise: int = Field(default=0, ge=0, le=1000)
    s_noise: float = Field(default=0.0, ge=0, le=2, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fits_together(self) -> "BandFields":
        if (self.luma, self.chroma) != (LUMA_BANDS, CHROMA_BANDS):
            raise ValueError(f"its bands aren't those of an enlargement by {RATIO}")
        if len(self.std) != BANDS:
            raise ValueError(f"std has {len(self.std)} numbers, not {BANDS}")
        return self


@dataclass(frozen=True, eq=False)
class StageFiles(ModelFiles):
    """A second stage's folder.

    Raises:
        ModelError: By each property, if the files it needs are missing, broken, or no stage's.
    """

    @cached_property
    def bands(self) -> BandFields:
        """The bands.json."""
        return self._checked(BandFields, self._read_json(self.folder / BANDS_FILE), BANDS_FILE)

    def _check_network(self, fields: NetworkFields) -> None:
        right = (fields.in_channels, fields.out_channels) == (BANDS + 3, BANDS)
        if not right or fields.class_embed_type != "timestep" or self.autoencoder:
            raise self.error(
                "its network is no second stage's",
                f"A stage takes {BANDS} bands and the small picture's 3 channels, with the "
                "timestep of its noise, and gives the bands.",
            )


@dataclass(frozen=True)
class StageInfo:
    """What a person is told about a stage before it is loaded.

    Attributes:
        id: Its name, the same as its folder's.
        parameters: The number of its weights.
        num_train_timesteps: T, the number of timesteps.
        low_res_noise: The largest of the paper's t to which the small picture may be noised.
    """

    id: str
    parameters: int
    num_train_timesteps: int
    low_res_noise: int


def describe_stage(files: StageFiles) -> StageInfo:
    """Describe a stage by its configurations and its weights' header.

    Raises:
        ModelError: If they are missing, broken, or not a stage's.
    """
    _ = files.unet_config
    timesteps = files.scheduler_config["num_train_timesteps"]
    return StageInfo(files.id, files.num_parameters, timesteps, files.bands.low_res_noise)


def bands_of(files: StageFiles) -> Bands:
    """Read the bands that the stage paints.

    Raises:
        ModelError: If its bands.json is missing or broken.
    """
    return Bands(torch.tensor(files.bands.std))


def low_res_schedule() -> NoiseSchedule:
    """Return the schedule of the noise that stages are shown small pictures with: the paper's."""
    return NoiseSchedule.named()


def takes_pictures_of(info: ModelInfo) -> bool:
    """Tell whether stages enlarge a model's pictures: in colour, and of a side in SIDES."""
    return info.channels == 3 and info.size in SIDES


def check_enlarges(info: ModelInfo) -> None:
    """Check that pictures of a model can be enlarged.

    Raises:
        ModelError: If they are grey, or of a side that no stage takes.
    """
    if takes_pictures_of(info):
        return
    raise ModelError(
        f"Pictures of {info.id} can't be enlarged: they are "
        f"{'grey' if info.channels == 1 else f'{info.size} px'}.",
        f"Choose a model in colour whose side is from {SIDES[0]} to {SIDES[-1]} px and divisible "
        f"by {RATIO}.",
    )
