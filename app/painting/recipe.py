"""A picture's recipe: everything it takes to paint it again, as JSON.

A recipe travels in a PNG's text, in a link, and back from the page, so all that is read
here is untrusted: types are strict, numbers bounded, unknown fields refused.
"""

import base64
import binascii
import zlib
from abc import abstractmethod
from typing import Annotated, Any, BinaryIO, ClassVar, Final, Literal, Self

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from torch import Tensor

from app.diffusion.cascade import RATIO
from app.diffusion.guidance import guides
from app.diffusion.inpainting import resampled
from app.diffusion.reverse import Spacing, spaced_timesteps
from app.diffusion.samplers.base import Eta
from app.diffusion.samplers.registry import SAMPLER_KINDS, WITH_ETA
from app.diffusion.schedule import MAX_T, code_t
from app.diffusion.seeds import MAX_SEED, derived_seed
from app.documents import Document
from app.errors import RecipeError
from app.fields import Control, UpToT
from app.images.encoding import png_text
from app.models.fields import GUIDANCE_FIELDS, MAX_GUIDANCE
from app.models.files import FOLDER_NAME, MAX_NAME
from app.models.step_schedules import StepEta, StepT, check_steps
from app.networks.unet import Precision

MAX_PICTURES: Final = 16
MAX_SIDE: Final = 1024
MAX_STEPS: Final = 1000
STEPS: Final = 50
MAX_STAGE_STEPS: Final = 100
MAX_CLASS_NAME: Final = 200
MAX_BRANCHES: Final = 4
MAX_LINK: Final = 8192
"""A link's bytes; the longest that the studio writes, four branches deep, has about 2,000."""
MAX_LINK_JSON: Final = 4 * MAX_LINK
"""The bytes of a link's JSON: four branches deep with the lists of a schedule, about 14,000."""

MAX_SOURCE: Final = 400_000
"""Base64 characters of a source: a photograph of 256 x 256 pixels as a PNG has about 200,000."""
MAX_MASK: Final = 20_000
"""Base64 characters of a mask: 256 x 256 pixels of one bit each are 11,000 without compression."""
MAX_JSON: Final = 500_000
"""A recipe's bytes, its source and mask among them."""
MAX_RESAMPLING: Final = 10

STAGE_FIELDS: Final = (
    *("size", "stage", "stage_weights", "stage_steps", "stage_seed", "stage_noise"),
    *("back_projection", "stage_truncation"),
)
"""The recipe's fields that say how a second stage enlarges its pictures."""

VARIATION_FIELDS: Final = ("variation_seed", "variation_strength")
"""The recipe's fields that turn the noise of one seed towards others'."""

SOURCE_FIELDS: Final = ("source", "start_t", "mask", "resampling")
"""The recipe's fields that say what a run starts from, where that isn't noise."""

STEP_FIELDS: Final = ("step_t", "step_eta")
"""The recipe's fields that say of each step where it begins, and how much noise it adds back."""

ENLARGING: Final = (
    *("model", "pictures", "precision", "stage", "stage_steps", "stage_seed", "stage_noise"),
    "back_projection",
)
"""The fields that matter where a picture is enlarged and nothing else is done to it."""

_PART: Final = "[A-Za-z0-9][A-Za-z0-9._-]*"
Name = Annotated[str, Field(pattern=f"^{_PART}$", max_length=96)]

ModelName = Annotated[
    str,
    Field(
        pattern=rf"^({FOLDER_NAME}|{_PART}/{_PART}(@{_PART}(/{_PART})*)?)$",
        max_length=MAX_NAME,
        description="A model's id, as `models` lists it; ID-STEP for a training's, after one of "
        "its `model_steps`.",
    ),
]
"""A folder's name, or owner/name or owner/name@revision of a model of the Hub.

A revision may have slashes as well: refs/pr/1."""

Seed = Annotated[
    int,
    Field(ge=0, le=MAX_SEED, description="All noise derives from it; picture i adds i."),
    Control(says=False),
]
Clip = Annotated[
    bool,
    Field(description="Keep the estimate of the clean picture in the range of pictures."),
    Control("keep x\u0302\u2080 in [-1, 1]", says=False, everywhere=False),
]
Computed = Annotated[
    Precision,
    Field(
        description="exact: float32, within 1/255 the same everywhere; "
        "fast: bfloat16 or OpenVINO where that is quicker."
    ),
]
Label = Annotated[
    Annotated[int, Field(ge=0, le=99_999)]
    | Annotated[str, Field(min_length=1, max_length=MAX_CLASS_NAME)]
    | None,
    Field(description="The class of a model that has classes, its number or name; null is any."),
    Control("class", says=False),
]


def file_stem(model: str) -> str:
    """Return the stem of a file of `model`: its id without slashes, which would name folders."""
    return model.replace("/", "-")


class Versions(BaseModel):
    """The versions that painted the picture, for information alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    plein_air: str = Field(default="", max_length=40)
    torch: str = Field(default="", max_length=40)
    diffusers: str = Field(default="", max_length=40)


class Filmed(Document):
    """A request whose run leaves a film of one or several pictures, and which of them is meant."""

    @property
    @abstractmethod
    def process(self) -> "Recipe":
        """The reverse process."""

    @property
    @abstractmethod
    def file_name(self) -> str:
        """The name of a picture's file without its ending."""

    @property
    @abstractmethod
    def small(self) -> Self:
        """The same request at the model's own size."""

    @abstractmethod
    def for_picture(self, picture: int) -> Self:
        """Return the same run, meaning its `picture`."""

    @abstractmethod
    def timesteps(self, num_train_timesteps: int) -> Tensor:
        """Return the code's timesteps of the first stage's steps, descending, with that T."""

    def num_steps(self, num_train_timesteps: int) -> int:
        """Count the steps of the run's film up to a second stage, with a model of that T."""
        return self.process.steps_of(self.timesteps(num_train_timesteps))


class Recipe(Filmed):
    """One run of the reverse process, and which of its pictures is meant.

    People set the fields that have a description. One that is added to them is declared last, for
    the API takes them in order.

    A run may start from a picture that the recipe holds, instead of from noise: noised to
    `start_t` (SDEdit, Meng et al. 2022, https://arxiv.org/abs/2108.01073), or with a mask, under
    which it is painted anew (app/diffusion/inpainting), or both. Its branches keep to the mask.

    A run may list its steps, each with its t and its eta, as a search found them. Its branches have
    the whole list of their parent, of which they take what is left.

    Attributes:
        format: Names the format; a reader refuses those it does not know.
        weights: sha256 of the model's weights; empty where a person wrote the recipe by hand.
        stage_weights: The second stage's, likewise; empty without one.
        picture: Which of the pictures this recipe is about, from 0.
        parent: The run that this one branches from.
        frame: The parent's frame whose x_t this run starts from.
        versions: What painted it.
        source: The picture that the run starts from, a square PNG, base64, of the model's side or
            of four times that.
        mask: What of the source is painted anew, white, and what is kept, black: a PNG of one bit,
            base64, of the source's size.
    """

    png_key: ClassVar[str] = "plein-air-recipe"
    max_json: ClassVar[int] = MAX_JSON
    called: ClassVar[str] = "recipe"

    format: Literal["plein-air/2"] = "plein-air/2"
    model: ModelName
    weights: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    sampler: Name = Field(
        default="dpm-solver-sde",
        description="The rule of each step.",
        json_schema_extra={"enum": [*SAMPLER_KINDS]},
    )
    steps: Annotated[int, Control(says=False), UpToT()] = Field(
        default=STEPS, ge=1, le=MAX_STEPS, description="Network steps from T to 0."
    )
    spacing: Annotated[Spacing, Control(everywhere=False)] = Field(
        default="trailing",
        description="Where in 0 to T the steps lie: trailing and linspace begin at T itself, "
        "leading and even a little below it.",
    )
    eta: Annotated[float, Control(step=0.05)] = Field(
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much noise ddim and dpm-solver-eta add back at each step: 0 is none, 1 as "
        "much as DDPM. No other sampler uses it.",
    )
    clip: Clip = True
    seed: Seed = 0
    pictures: Annotated[int, Control(says=False)] = Field(
        default=1, ge=1, le=MAX_PICTURES, description="How many pictures, painted in one batch."
    )
    picture: int = Field(default=0, ge=0, lt=MAX_PICTURES)
    precision: Computed = "exact"
    label: Label = None
    guidance_scale: Annotated[float, Control("guidance", step=0.5)] = Field(
        default=1.0,
        ge=1,
        le=MAX_GUIDANCE,
        allow_inf_nan=False,
        description="How hard the class pulls; 1 is no guidance, and so is any without a class.",
    )
    size: int | None = Field(
        default=None,
        ge=1,
        le=RATIO * MAX_SIDE,
        description="The side in pixels: the model's own, which null is, or four times that.",
    )
    stage: ModelName = Field(
        default="brushwork-256", description="The second stage that paints it four times as large."
    )
    stage_steps: int = Field(
        default=12, ge=1, le=MAX_STAGE_STEPS, description="Network steps of the second stage."
    )
    stage_seed: int = Field(
        default=0,
        ge=0,
        le=MAX_SEED,
        description="All noise of the second stage derives from it; picture i adds i.",
    )
    stage_noise: int = Field(
        default=0,
        ge=0,
        le=MAX_T,
        description="The t, 0 for none, of the noise with which it is shown the small picture.",
    )
    back_projection: bool = Field(
        default=True,
        description="Correct the large picture until it is the small one when reduced.",
    )
    stage_truncation: int = Field(
        default=0,
        ge=0,
        le=MAX_T,
        description="The t at which the first stage hands over, 0 when it is finished: x_t where "
        "the second stage knows as much noise, else x_0_hat.",
    )
    guidance_from: Annotated[int, Control("guidance from t")] = Field(
        default=MAX_T,
        ge=0,
        le=MAX_T,
        description="The largest t at which the class pulls; steps before it take half the time.",
    )
    guidance_to: Annotated[int, Control("guidance to t")] = Field(
        default=0,
        ge=0,
        le=MAX_T,
        description="The smallest t at which it pulls; steps after it take half the time.",
    )
    variation_seed: Annotated[int | None, Control(everywhere=False)] = Field(
        default=None,
        ge=0,
        le=MAX_SEED,
        description="All pictures are variations of the one seed: the noise of picture i is turned "
        "towards that of variation_seed + i, and all else stays. Null is none.",
    )
    variation_strength: Annotated[float, Control(everywhere=False)] = Field(
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How far, along the arc: 0 is the seed's own picture, 1 the other seed's.",
    )
    stage_weights: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    parent: "Recipe | None" = None
    frame: int | None = Field(default=None, ge=0, lt=MAX_STEPS * MAX_RESAMPLING)
    versions: Versions = Versions()
    source: str | None = Field(default=None, max_length=MAX_SOURCE)
    mask: str | None = Field(default=None, max_length=MAX_MASK)
    start_t: Annotated[int | None, Control(everywhere=False)] = Field(
        default=None,
        ge=1,
        le=MAX_T,
        description="The t to which the source is noised, where the run starts: the larger, the "
        "more of the picture is the model's. Without a source, and by default with a mask, null: "
        "it starts from noise.",
    )
    resampling: Annotated[int, Control(everywhere=False)] = Field(
        default=1,
        ge=1,
        le=MAX_RESAMPLING,
        description="With a mask, how often the stretches of the way back are painted (RePaint): "
        "2 or more take nearly so many times as long, and join the new part with more care.",
    )

    step_t: Annotated[StepT | None, Control(everywhere=False)] = Field(
        default=None,
        description="The t at which each step begins, falling, instead of a spacing; with "
        f"`step_eta`, for {WITH_ETA.name}, as many as `steps`. Null: they follow from `spacing`.",
    )
    step_eta: Annotated[StepEta | None, Control(everywhere=False)] = Field(
        default=None,
        description="The eta of each step, from 0 to 2, with `step_t`. Null: all have `eta`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_any_format(cls, fields: object, info: ValidationInfo) -> object:
        """Read the first format, too, in which `even` spacing was called leading."""
        # A call names no format, and means the words of today.
        first = "plein-air/1"
        unnamed = first if info.mode == "json" else None
        if not isinstance(fields, dict) or fields.get("format", unnamed) != first:
            return fields
        even = {"spacing": "even"} if fields.get("spacing") == "leading" else {}
        return fields | {"format": "plein-air/2"} | even

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.picture >= self.pictures:
            raise ValueError(f"picture {self.picture} of {self.pictures} does not exist")
        if (self.parent is None) != (self.frame is None):
            raise ValueError("a branch names both its parent and the parent's frame")
        self._check_source()
        self._check_step_lists()
        if self.parent and self.frame is not None and self.root.source:
            if self.steps != self.parent.steps:
                raise ValueError("steps: a branch of a run from a picture has its parent's number")
        elif self.parent and self.frame is not None:
            remaining = self.parent.steps - self.frame
            if self.steps != remaining:
                raise ValueError(
                    f"a branch at frame {self.frame} of {self.parent.steps} has "
                    f"{remaining} steps, not {self.steps}"
                )
        if self.guidance_from < self.guidance_to:
            raise ValueError(
                f"guidance goes from a larger t to a smaller one, not from {self.guidance_from} "
                f"to {self.guidance_to}"
            )
        if self.parent and self.variation_seed is not None:
            raise ValueError("a branch begins in a picture, and has no variation")
        if self.variation_seed is None and self.variation_strength:
            raise ValueError("variation_strength needs a variation_seed")
        if len(self.ancestry) > MAX_BRANCHES:
            raise ValueError(f"more than {MAX_BRANCHES} branches deep")
        return self

    def _check_source(self) -> None:
        begins = self.start_t is not None or self.mask is not None
        if self.parent and (self.source is not None or begins or self.resampling != 1):
            raise ValueError("a branch starts from its parent's x_t, and takes no source or mask")
        if self.source is None and begins:
            raise ValueError("start_t and mask are about a source, and there is none")
        if self.source is not None and not begins:
            raise ValueError("a source needs a start_t to be noised to, or a mask, or both")
        if self.resampling != 1 and self.mask is None and not self.parent:
            raise ValueError("resampling is for a mask, and there is none")
        if self.start_t is not None and self.spacing in ("leading", "even"):
            raise ValueError(
                f"{self.spacing} spacing doesn't start at t; choose trailing or linspace"
            )

    def _check_step_lists(self) -> None:
        if (self.step_t is None) != (self.step_eta is None):
            raise ValueError("step_t and step_eta belong together: a t and an eta for each step")
        if self.step_t is None or self.step_eta is None:
            return
        check_steps(self.sampler, self.step_t, self.step_eta)
        if self.start_t is not None:
            raise ValueError(
                "a list of steps (step_t) begins at a t of its own, not at start_t; choose a "
                "number of steps instead, or leave start_t out"
            )
        if self.parent and self.step_t != self.parent.step_t:
            raise ValueError("a branch has its parent's step_t, or none of its own")
        if not self.parent and self.steps != len(self.step_t):
            raise ValueError(
                f"steps is {self.steps}, but step_t has {len(self.step_t)} entries; they are to "
                "be as many"
            )

    @property
    def process(self) -> "Recipe":
        """The recipe itself."""
        return self

    @property
    def file_name(self) -> str:
        """The name of a picture's file without its ending: "impressionist-64-ddim-50-seed-42"."""
        branch = f"-from-{self.parent.seed}-{self.frame}" if self.parent else ""
        branch += f"-picture-{self.start_t}" if self.start_t else ""
        branch += "-inpainted" if self.root.mask else ""
        vary = ""
        if self.variation_seed is not None:
            vary = f"-to-{self.variation_seed + self.picture}-by-{self.variation_strength:g}"
        run = f"{self.sampler}-{self.steps}-seed-{self.picture_seed}"
        stem = f"{file_stem(self.model)}-{run}{vary}{branch}"
        return f"{stem}{self.size_suffix}"

    @property
    def size_suffix(self) -> str:
        """What the second stage adds to a picture's file name: "-256px-0", or nothing."""
        return f"-{self.size}px-{self.stage_seeds[self.picture]}" if self.size else ""

    @model_serializer(mode="wrap")
    def _without_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is said of a second stage, guidance or variation where there is none."""
        unused: tuple[str, ...] = () if self.size else STAGE_FIELDS
        unused += () if self.guidance_scale != 1 else GUIDANCE_FIELDS[1:]
        unused += () if self.variation_seed is not None else VARIATION_FIELDS
        unused += () if self.source else SOURCE_FIELDS
        unused += () if self.step_t else STEP_FIELDS
        return {name: value for name, value in write(self).items() if name not in unused}

    @property
    def small(self) -> Self:
        """The same recipe at the model's own size."""
        own = {name: Recipe.model_fields[name].default for name in STAGE_FIELDS}
        return self.model_copy(update=own)

    @property
    def later_steps(self) -> int:
        """The second stage's steps; 0 where there is none."""
        return self.stage_steps if self.size else 0

    @property
    def is_truncated(self) -> bool:
        """Tell whether the first stage hands over before its end."""
        return bool(self.size and self.stage_truncation)

    @property
    def stage_seeds(self) -> tuple[int, ...]:
        """A seed for the brushwork of each picture; variations all take the same."""
        return self._each(self.stage_seed)

    @property
    def picture_seed(self) -> int:
        """The seed, said by a person or counted on from there, of this recipe's picture."""
        return self._each(self.seed)[self.picture]

    @property
    def variation_seeds(self) -> range:
        """The seed that the noise of each picture is turned to; none without variation."""
        if self.variation_seed is None:
            return range(0)
        return range(self.variation_seed, self.variation_seed + self.pictures)

    def _each(self, seed: int) -> tuple[int, ...]:
        """Count on from `seed` for each picture; variations differ in nothing that is drawn."""
        by = 1 if self.variation_seed is None else 0
        return tuple(seed + by * i for i in range(self.pictures))

    def timesteps(self, num_train_timesteps: int) -> Tensor:
        """Return the code's timesteps of the recipe's own steps, (n,) int64.

        They descend, but where a stretch is painted again. Of a run from `start_t` they are a share
        of its `steps`.
        """
        if self.parent:
            return self.parent.timesteps(num_train_timesteps)[self.frame :]
        if self.step_t:
            return resampled(torch.tensor([code_t(t) for t in self.step_t]), self.resampling)
        start = num_train_timesteps if self.start_t is None else self.start_t
        return resampled(self.timesteps_from(start, num_train_timesteps), self.resampling)

    def steps_from(self, t: int, num_train_timesteps: int) -> int:
        """Count how many of the steps from T fall on the way from the paper's `t`, rounded up.

        From T they are all of the steps, so that a run from T is a painting's.
        """
        return -(-self.steps * t // num_train_timesteps)

    def timesteps_from(self, t: int, num_train_timesteps: int) -> Tensor:
        """Return the code's timesteps from the paper's `t`, which is the first of them, down to 0.

        From T they begin where the spacing begins.
        """
        # The paper's t counts the code's timesteps up to and including it.
        return spaced_timesteps(self.steps_from(t, num_train_timesteps), t, self.spacing)

    def etas(self, timesteps: Tensor) -> Eta:
        """Return eta at the code's `timesteps` (n,): one number, or (n,) where it differs."""
        if self.step_t is None or self.step_eta is None:
            return self.eta
        known = dict(zip(map(code_t, self.step_t), self.step_eta, strict=True))
        return torch.tensor([known[t] for t in timesteps.tolist()], dtype=torch.float64)

    @property
    def draws_noise(self) -> bool:
        """Tell whether the sampler adds noise back, on the way from x_T or its x_t."""
        kind = SAMPLER_KINDS[self.sampler]
        return kind.stochastic and (not kind.uses_eta or any(self.step_eta or (self.eta,)))

    def steps_of(self, timesteps: Tensor) -> int:
        """Count how many of the first stage's `timesteps` are done before it hands over."""
        # The code's t from the truncation on are the paper's beyond it.
        beyond = timesteps >= (self.stage_truncation if self.size else 0)
        return int(beyond.cumprod(0).sum())

    @property
    def ancestry(self) -> "tuple[Recipe, ...]":
        """The runs that this one branches from, nearest first."""
        return (self.parent, *self.parent.ancestry) if self.parent else ()

    @property
    def is_guided(self) -> bool:
        """Tell whether steps ask the network twice, with the class and without."""
        return self.guidance_scale != 1 and self.label is not None

    def guided_of(self, timesteps: Tensor) -> int:
        """Count at how many of the code's `timesteps` the network is asked twice."""
        if not self.is_guided:
            return 0
        first, last = code_t(self.guidance_from), code_t(self.guidance_to)
        return int(guides(timesteps, first, last).sum())

    @property
    def root(self) -> "Recipe":
        """The run from x_T that this one descends from; the recipe itself where it is no branch."""
        return self.ancestry[-1] if self.parent else self

    @property
    def noise_seeds(self) -> tuple[int, ...]:
        """A seed for the noise of each picture.

        A run from x_T takes seed, seed + 1, ... themselves, as a list of torch generators for
        diffusers would; variations all take the seed. A branch's are derived, for its parent has
        drawn from that seed already.
        """
        seeds = self._each(self.seed)
        if not self.parent:
            return seeds
        depth = len(self.ancestry)
        return tuple(derived_seed(seed, depth) for seed in seeds)

    def for_picture(self, picture: int) -> Self:
        """Return the same run, meaning its `picture`."""
        return self.model_copy(update={"picture": picture})

    def to_link(self) -> str:
        """Compress the JSON into characters that a URL's query takes as they are.

        Raises:
            RecipeError: If the run starts from a picture, which no link can hold.
        """
        if self.root.source:
            raise RecipeError(
                "A link can't hold the picture that this run starts from.",
                "Save the PNG instead, which does.",
            )
        return base64.urlsafe_b64encode(zlib.compress(self.to_json().encode(), 9)).decode()

    @classmethod
    def from_link(cls, text: str) -> Self:
        """Read a recipe from a link's `recipe` parameter.

        Raises:
            RecipeError: If `text` is no recipe; decompression stops at the longest recipe's size.
        """
        try:
            inflater = zlib.decompressobj()
            packed = base64.b64decode(
                text[:MAX_LINK].encode("ascii"), altchars=b"-_", validate=True
            )
            return cls.from_json(inflater.decompress(packed, MAX_LINK_JSON))
        except (binascii.Error, zlib.error, UnicodeError) as error:
            raise RecipeError(
                "The link's recipe is damaged.",
                "Copy the whole link again; mail programs sometimes break long ones.",
            ) from error


def read_recipe(file: bytes | BinaryIO) -> Recipe:
    """Read the recipe in a PNG file's text.

    Raises:
        RecipeError: If the file is no PNG, or has no usable recipe in it.
    """
    return Recipe.from_json(png_text(file, Recipe.png_key))
