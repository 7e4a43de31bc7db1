"""What all experiments have in common, and those that end with a reverse process.

Like a painting's recipe an experiment travels in a PNG's text and comes back from a page, so
types are strict, numbers bounded and unknown fields refused. Timesteps are the paper's, 0
(clean) to T.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from app.diffusion.schedule import MAX_T
from app.documents import Document
from app.painting.recipe import Filmed, Recipe, file_stem
from app.painting.sources import PictureSource

MAX_EXPERIMENT: Final = 4_000_000
DECODING_STEPS: Final = 200
"""The network steps from T to 0 of an experiment that doesn't say how many."""


class Experiment(Document):
    """The base of all experiments."""

    png_key: ClassVar[str] = "plein-air-laboratory"
    max_json: ClassVar[int] = MAX_EXPERIMENT
    called: ClassVar[str] = "experiment"

    format: Literal["plein-air-laboratory/1"] = "plein-air-laboratory/1"

    @classmethod
    def of(cls, fields: Mapping[str, Any], sources: "Sequence[PictureSource]" = ()) -> Self:
        """Make an experiment of its fields and its run's, side by side, and of its pictures.

        Fields that it doesn't have are left out.

        Raises:
            RecipeError: If a field is missing, of a wrong type or out of range.
        """
        made = {name: fields[name] for name in cls.model_fields if name in fields}
        if "run" in cls.model_fields:
            made["run"] = Recipe.checked({n: fields[n] for n in Recipe.model_fields if n in fields})
        return cls.checked(made | dict(zip(cls.pictures(), sources, strict=False)))

    @classmethod
    def pictures(cls) -> list[str]:
        """Name the fields that are pictures."""
        return [name for name, it in cls.model_fields.items() if it.annotation is PictureSource]

    def to_json(self) -> str:
        """Return all choices as JSON, None too: where None isn't the default, it is a choice."""
        return self.model_dump_json()


class FromXt(Experiment):
    """An experiment that ends with a reverse process started from some x_t.

    Attributes:
        run: The reverse process, as in a painting's recipe: model, sampler, eta, precision and
            the seed of what the sampler draws. `steps` is counted over the whole way from T; a
            run from t takes its share of them. `pictures` is how many variations there are.
    """

    run: Recipe

    @model_validator(mode="after")
    def _starts_anywhere(self) -> Self:
        if self.run.parent:
            raise ValueError("run: a run from x_t can't be a branch")
        if self.run.variation_seed is not None:
            raise ValueError("run: variation_seed is for paintings from noise; leave it out")
        if self.run.step_t:
            raise ValueError("run: step_t is for paintings from noise; leave it and step_eta out")
        if self.run.source:
            raise ValueError("run: a run from x_t has sources of its own")
        if self.run.spacing in ("leading", "even"):
            raise ValueError(
                f"run: {self.run.spacing} spacing doesn't start at t; choose trailing or linspace"
            )
        if self.run.is_truncated and not isinstance(self, FromOneXt):
            raise ValueError("run: stage_truncation is for single pictures; leave it out")
        return self

    @property
    def sources(self) -> tuple[PictureSource, ...]:
        """The pictures that the experiment starts from."""
        return ()

    @property
    def batch(self) -> int:
        """The number of pictures that go through the network together."""
        return self.run.pictures

    @property
    def batches(self) -> int:
        """The number of such batches, one after the other."""
        return 1

    @property
    def later_steps(self) -> int:
        """The second stage's steps of all batches; 0 where there is none."""
        return self.run.later_steps * self.batches

    @property
    def small(self) -> Self:
        """The same experiment at the model's own size."""
        return self.model_copy(update={"run": self.run.small})

    @abstractmethod
    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Return the paper's t from which each reverse process runs, for a model of this T."""

    def num_steps(self, num_train_timesteps: int) -> int:
        """Count the network steps of all reverse processes, each of a batch."""
        starts = self.starts(num_train_timesteps)
        return sum(self.run.steps_from(t, num_train_timesteps) for t in starts)


class FromOneXt(FromXt, Filmed):
    """An experiment with a single reverse process, which leaves a film as a painting does."""

    @property
    def process(self) -> Recipe:
        """The experiment's run."""
        return self.run

    def timesteps(self, num_train_timesteps: int) -> Tensor:
        """Return the code's timesteps of the reverse process, descending."""
        (t,) = self.starts(num_train_timesteps)
        if t == 0:
            return torch.empty(0, dtype=torch.int64)
        return self.run.timesteps_from(t, num_train_timesteps)

    def num_steps(self, num_train_timesteps: int) -> int:
        """Count the network steps up to a second stage, with a model of that T."""
        return self.run.steps_of(self.timesteps(num_train_timesteps))

    @property
    def file_name(self) -> str:
        """The name of a picture's file without its ending: "impressionist-64-mixing-500-seed-3"."""
        (t,), seed = self.starts(MAX_T), self.run.seed + self.run.picture
        stem = f"{file_stem(self.run.model)}-{type(self).__name__.lower()}-{t}-seed-{seed}"
        return f"{stem}{self.run.size_suffix}"

    def for_picture(self, picture: int) -> Self:
        """Return the same experiment, meaning its variation `picture`."""
        return self.model_copy(update={"run": self.run.for_picture(picture)})
