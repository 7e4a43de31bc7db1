"""The card of a model that is published: what it is, how it was made, how it is used."""

from dataclasses import dataclass
from typing import Final

from huggingface_hub import ModelCardData

from app.errors import HubError
from app.service.hub.ids import HubId
from app.service.hub.story import Story
from app.service.models import ModelInfo

LICENCES: Final = (
    *("cc-by-nc-4.0", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0"),
    *("apache-2.0", "mit", "openrail", "other"),
)
SAMPLES: Final = "samples.png"
TAGS: Final = ("diffusers", "ddpm", "unconditional-image-generation", "plein-air")


@dataclass(frozen=True)
class Card:
    """What a card is written from.

    Attributes:
        target: Where the model goes.
        info: What is known of the model.
        story: How it came about.
        licence: Under which it is offered, one of LICENCES.
        base_licence: The base model's; empty where that isn't known.
        weights: sha256 of the weights file.
    """

    target: HubId
    info: ModelInfo
    story: Story
    licence: str
    base_licence: str
    weights: str

    def __post_init__(self) -> None:
        if self.licence not in LICENCES:
            raise HubError(
                f"{self.licence!r} is no licence that can be chosen.",
                f"Choose one of: {', '.join(LICENCES)}.",
            )

    def text(self) -> str:
        """The card, README.md of the repository."""
        parts = (self._metadata(), self._opening(), self._figures(), self._training(), _LIMITS)
        return "\n\n".join(part for part in parts if part) + "\n"

    def _metadata(self) -> str:
        # Only a model of the Hub can be linked to; another is named in the text.
        base = self.story.base_model.partition("@")[0]
        data = ModelCardData(
            license=self.licence,
            library_name="diffusers",
            pipeline_tag="unconditional-image-generation",
            base_model=base if "/" in base else None,
            tags=list(TAGS),
        )
        return f"---\n{data.to_yaml()}\n---"

    def _opening(self) -> str:
        info, name = self.info, self.target.repository
        classes = f" It knows {len(info.labels)} classes." if info.labels else ""
        # A network with classes asks for labels, which diffusers' own pipeline doesn't give.
        use = (
            "Paint with it in Plein Air, which asks for the class."
            if info.labels
            else "    from diffusers import DDPMPipeline\n"
            f'    DDPMPipeline.from_pretrained("{name}")().images[0]'
        )
        return (
            f"# {name.partition('/')[2]}\n\n"
            "A denoising diffusion probabilistic model (Ho, Jain & Abbeel 2020, "
            "[arXiv 2006.11239](https://arxiv.org/abs/2006.11239)) that paints "
            f"{'grey ' if info.channels == 1 else ''}pictures of {info.size} x {info.size} "
            f"pixels.{classes} Made with Plein Air.\n\n![What it paints]({SAMPLES})\n\n{use}"
        )

    def _figures(self) -> str:
        info = self.info
        variance = "learned variance" if info.learned_variance else "fixed variance"
        rows = [
            ("Network", f"`UNet2DModel`, {info.parameters / 1e6:.1f} M parameters, {variance}"),
            ("Process", f"T = {info.num_train_timesteps}"),
            ("Weights", f"safetensors, sha256 `{self.weights}`"),
            ("Licence", self._licence_words()),
        ]
        return _table(rows)

    def _licence_words(self) -> str:
        base = f"; the base model's is {self.base_licence}" if self.base_licence else ""
        return f"{self.licence}{base}"

    def _training(self) -> str:
        story, labels = self.story, self.info.labels
        rows = [("Base model", story.base_model or "none that is known")]
        pictures = "not known" if story.pictures is None else f"{story.pictures:,}"
        rows.append(("Pictures trained on", f"{pictures}; they are not part of this repository"))
        if labels:
            rows.append(("Classes", ", ".join(_plain(label) for label in labels)))
        if story.steps is not None:
            rows.append(("Steps", f"{story.steps:,}"))
        return "## Training\n\n" + _table([*rows, *story.settings])


_LIMITS: Final = (
    "## Limits\n\nIt paints what it was trained on and nothing else, and may come close to "
    "single pictures among them. It was not checked for anything beyond the samples above."
)


def _table(rows: list[tuple[str, str]]) -> str:
    lines = [f"| {_plain(name)} | {_plain(value)} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


def _plain(text: str) -> str:
    """A person's own words in a table's cell: on one line, without what would end the cell."""
    return " ".join(text.split()).replace("|", "/").replace("<", "(").replace(">", ")")
