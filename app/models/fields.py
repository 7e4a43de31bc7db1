"""The fields of a model folder's configurations that are read, strictly checked."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.diffusion.schedule import MAX_T

MAX_SIDE: Final = 1024
MAX_LEVELS: Final = 16
MAX_CLASSES: Final = 10_000
MAX_GUIDANCE: Final = 20

GUIDANCE_FIELDS: Final = ("guidance_scale", "guidance_from", "guidance_to")
"""How hard a class pulls and between which t, in a labels.json and in a recipe."""

UNET_LEVELS: Final = (224, 448, 672, 896)
"""The levels of a UNet2DModel whose config.json has none."""

Count = Annotated[int, Field(ge=1)]


class ConfigFields(BaseModel):
    """The fields of a configuration that are read here; the file may have others."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class NetworkFields(ConfigFields):
    """Fields of a UNet2DModel's config.json."""

    sample_size: int = Field(ge=1, le=MAX_SIDE)
    in_channels: Count
    out_channels: Count
    block_out_channels: list[Count] = Field(default_factory=list, max_length=MAX_LEVELS)
    layers_per_block: int = Field(default=2, ge=1, le=32)
    num_class_embeds: int | None = Field(default=None, ge=0, le=MAX_CLASSES)
    class_embed_type: str | None = None
    time_embedding_type: str = "positional"
    num_train_timesteps: int | None = Field(default=None, ge=1, le=MAX_T)

    @field_validator("sample_size", mode="before")
    @classmethod
    def _square(cls, size: object) -> object:
        """Take [64, 64] for 64."""
        if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:
            return size[0]
        return size

    @property
    def halvings(self) -> int:
        """How often the network halves its pictures: at each level but the last."""
        return len(self.block_out_channels or UNET_LEVELS) - 1


class ScheduleFields(ConfigFields):
    """Fields of a scheduler_config.json."""

    num_train_timesteps: int = Field(ge=1, le=MAX_T)
    beta_schedule: str
    beta_start: float
    beta_end: float
    trained_betas: list[float] | None = Field(max_length=MAX_T)
    prediction_type: str


class AnalyticFields(ConfigFields):
    """Fields of an analytic.json: the mean square of eps_hat at each t, and of which weights."""

    weights: str
    eps_square: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(max_length=MAX_T)


class LabelFields(ConfigFields):
    """Fields of a labels.json: a model's classes, and the one that means "any", where there is.

    `pictures` are those that each class was learned from, where that is known. The guidance is what
    suits the model, as recipes have it.
    """

    labels: list[str]
    null_label: int | None = Field(default=None, ge=0)
    pictures: list[int] | None = None
    guidance_scale: float = Field(default=1.0, ge=1, le=MAX_GUIDANCE, allow_inf_nan=False)
    guidance_from: int = Field(default=MAX_T, ge=0, le=MAX_T)
    guidance_to: int = Field(default=0, ge=0, le=MAX_T)
