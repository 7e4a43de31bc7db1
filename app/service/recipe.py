"""A picture's recipe: everything it takes to paint it again, as JSON.

A recipe travels in a PNG's text, in a link, and back from the page, so all that is read
here is untrusted: types are strict, numbers bounded, unknown fields refused.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.diffusion.noise import MAX_SEED, derived_seed
from app.diffusion.reverse import Spacing
from app.errors import RecipeError
from app.service.wording import in_words

MAX_PICTURES: Final = 16
MAX_STEPS: Final = 1000
MAX_GUIDANCE: Final = 20
MAX_BRANCHES: Final = 4
MAX_JSON: Final = 8192
"""A recipe's bytes; the longest that the studio writes, four branches deep, has about 2,000."""

Precision = Literal["exact", "fast"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
_PART: Final = "[A-Za-z0-9][A-Za-z0-9._-]*"
Name = Annotated[str, Field(pattern=f"^{_PART}$", max_length=96)]

ModelName = Annotated[
    str,
    Field(
        pattern=rf"^{_PART}(/{_PART}(@{_PART}(/{_PART})*)?)?$",
        max_length=161,
    ),
]
"""A folder's name, or owner/name or owner/name@revision of a model of the Hub.

A revision may have slashes as well: refs/pr/1."""


def file_stem(model: str) -> str:
    """How a file of `model` is called: its id, whose slashes would name folders."""
    return model.replace("/", "-")


class Document(BaseModel):
    """What a saved picture carries in its text: frozen, strict, and read back with suspicion.

    Attributes:
        png_key: The keyword of the PNG's text.
        max_json: The longest text that is read.
        called: What messages call it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    png_key: ClassVar[str]
    max_json: ClassVar[int]
    called: ClassVar[str]

    def to_json(self) -> str:
        """All that was chosen, defaults included, so that a later default changes nothing."""
        return self.model_dump_json(exclude_none=True)

    @classmethod
    def checked(cls, fields: Mapping[str, object]) -> Self:
        """One of `fields`, as they come from a form or a call.

        Raises:
            RecipeError: If one is missing, unknown, of a wrong type or out of range.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise cls.fault(error) from error

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read one.

        Raises:
            RecipeError: If it is none, is broken, or has values out of range.
        """
        if not isinstance(text, (str, bytes)):
            raise RecipeError("A recipe is a text.", "Send its JSON as one string.")
        cls.require_short(text)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise cls.fault(error) from error

    @classmethod
    def require_short(cls, text: str | bytes) -> None:
        """Refuse a text that is longer than any that is written here.

        Raises:
            RecipeError: If it is.
        """
        if len(text) > cls.max_json:
            raise RecipeError(
                f"The {cls.called} is {len(text):,} characters long.",
                f"It has at most {cls.max_json:,}; this one was not written by Plein Air.",
            )

    @classmethod
    def fault(cls, error: ValidationError) -> RecipeError:
        """What to tell a person whose fields pydantic refuses."""
        what, hint = in_words(error)
        return RecipeError(f"The {cls.called} can't be used: {what}.", hint)


class Versions(BaseModel):
    """What painted the picture; said, not enforced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    plein_air: str = Field(default="", max_length=40)
    torch: str = Field(default="", max_length=40)
    diffusers: str = Field(default="", max_length=40)


class Recipe(Document):
    """One run of the reverse process, and which of its pictures is meant.

    Attributes:
        format: Names the format; a reader refuses those it does not know.
        model: The model's id.
        weights: sha256 of its weights file; empty where a person wrote the recipe by hand.
        sampler: A sampler's name, see `app.service.samplers`.
        steps: n, the number of steps.
        spacing: How the n timesteps lie in [0, T).
        eta: For samplers that use it: 0 = DDIM, 1 = DDPM.
        clip: Whether x_0_hat is kept in [-1, 1].
        seed: Picture i of the run draws its noise from seed + i.
        pictures: How many pictures are painted in one batch.
        picture: Which of them this recipe is about, from 0.
        precision: "exact" (float32) or "fast" (bfloat16 where the processor has it).
        label: The class to paint, where the model has classes.
        guidance_scale: 1 = none.
        parent: The run that this one branches from.
        frame: The parent's frame whose x_t this run starts from.
        versions: What painted it.
    """

    png_key: ClassVar[str] = "plein-air-recipe"
    max_json: ClassVar[int] = MAX_JSON
    called: ClassVar[str] = "recipe"

    format: Literal["plein-air/1"] = "plein-air/1"
    model: ModelName
    weights: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    sampler: Name = "dpm-solver-sde"
    steps: int = Field(default=50, ge=1, le=MAX_STEPS)
    spacing: Spacing = "trailing"
    eta: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    clip: bool = True
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    pictures: int = Field(default=1, ge=1, le=MAX_PICTURES)
    picture: int = Field(default=0, ge=0, lt=MAX_PICTURES)
    precision: Precision = "exact"
    label: int | None = Field(default=None, ge=0, lt=100_000)
    guidance_scale: float = Field(default=1.0, ge=1, le=MAX_GUIDANCE, allow_inf_nan=False)
    parent: "Recipe | None" = None
    frame: int | None = Field(default=None, ge=0, lt=MAX_STEPS)
    versions: Versions = Versions()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.picture >= self.pictures:
            raise ValueError(f"picture {self.picture} of {self.pictures} does not exist")
        if (self.parent is None) != (self.frame is None):
            raise ValueError("a branch names both its parent and the parent's frame")
        if self.parent and self.frame is not None:
            remaining = self.parent.steps - self.frame
            if self.steps != remaining:
                raise ValueError(
                    f"a branch at frame {self.frame} of {self.parent.steps} has "
                    f"{remaining} steps, not {self.steps}"
                )
        if len(self.ancestry) > MAX_BRANCHES:
            raise ValueError(f"more than {MAX_BRANCHES} branches deep")
        return self

    @property
    def ancestry(self) -> "tuple[Recipe, ...]":
        """The runs this one branches from, nearest first."""
        return (self.parent, *self.parent.ancestry) if self.parent else ()

    @property
    def is_guided(self) -> bool:
        """Whether each step asks the network twice, with the class and without."""
        return self.guidance_scale != 1

    @property
    def root(self) -> "Recipe":
        """The run from x_T that this one descends from; itself where it is no branch."""
        return self.ancestry[-1] if self.parent else self

    @property
    def noise_seeds(self) -> tuple[int, ...]:
        """A seed for the noise of each picture.

        A run from x_T takes seed, seed + 1, ... themselves, as a list of torch generators for
        diffusers would. A branch's are derived, for its parent has drawn from that seed already.
        """
        seeds = range(self.seed, self.seed + self.pictures)
        if not self.parent:
            return tuple(seeds)
        depth = len(self.ancestry)
        return tuple(derived_seed(seed, depth) for seed in seeds)

    def about(self, picture: int) -> "Recipe":
        """The same run, meaning its `picture`."""
        return self.model_copy(update={"picture": picture})

    def to_link(self) -> str:
        """The JSON, compressed, in characters that a URL's query takes as they are."""
        return base64.urlsafe_b64encode(zlib.compress(self.to_json().encode(), 9)).decode()

    @classmethod
    def from_link(cls, text: str) -> Self:
        """Read a recipe from a link's `recipe` parameter.

        Raises:
            RecipeError: If it is none; decompression stops at the size of the longest recipe.
        """
        try:
            inflater = zlib.decompressobj()
            packed = base64.b64decode(
                text[:MAX_JSON].encode("ascii"), altchars=b"-_", validate=True
            )
            return cls.from_json(inflater.decompress(packed, MAX_JSON))
        except (binascii.Error, zlib.error, UnicodeError) as error:
            raise RecipeError(
                "The link's recipe is damaged.",
                "Copy the whole link again; mail programs sometimes break long ones.",
            ) from error
