"""To the Hub: what would be published is shown first, and exactly that is sent."""

import hashlib
import io
import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import CommitOperationAdd, HfApi, metadata_load
from huggingface_hub.errors import RepositoryNotFoundError
from PIL import Image

from app.errors import HubError, StudioError
from app.service.hub.card import SAMPLES, Card
from app.service.hub.faults import hub_faults
from app.service.hub.ids import HubId
from app.service.hub.progress import Report, Transfer, reported
from app.service.hub.story import Story, story_of
from app.service.model_files import CHECKSUMS, ModelFiles
from app.service.models import ModelInfo, describe
from app.service.painting import Painter
from app.service.recipe import Recipe

CARD: Final = "README.md"
GENERATED: Final = ".gitattributes"
"""The one file that the Hub puts into a new repository."""

SAMPLE_STEPS: Final = 50
LARGE: Final = 64
"""Of larger pictures one is painted, for on two cores each takes minutes."""

PRIVATE_KEYS: Final = ("_name_or_path",)
"""What diffusers writes into configurations of where on the machine a model was."""

TOKEN: Final = re.compile(r"[\x21-\x7e]{8,512}")


@dataclass(frozen=True)
class PublicFile:
    """A file as it will be in the repository: its bytes, or where they are."""

    path: str
    source: bytes | Path

    @property
    def size(self) -> int:
        """Its bytes."""
        source = self.source
        return source.stat().st_size if isinstance(source, Path) else len(source)


@dataclass(frozen=True)
class Publication:
    """All that would be published; pushing it sends this and nothing else.

    Attributes:
        target: Where to.
        private: Whether only its owner will see it.
        replace: Whether a repository that is there already may get these files.
        files: The files, the card first.
        weights: sha256 of the weights, which mustn't change until they are sent.
    """

    target: HubId
    private: bool
    replace: bool
    files: tuple[PublicFile, ...]
    weights: str

    @property
    def card(self) -> str:
        """The text of the model's card."""
        source = self.files[0].source
        return source.decode() if isinstance(source, bytes) else source.read_text("utf-8")

    @property
    def samples(self) -> bytes:
        """The sheet of samples, a PNG."""
        return next(
            file.source
            for file in self.files
            if file.path == SAMPLES and isinstance(file.source, bytes)
        )

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def in_words(self) -> str:
        """One sentence that says who will see what."""
        who = "only its owner" if self.private else "everybody"
        return (
            f"{len(self.files)} files, {self.size / 1e6:.1f} MB, would go to "
            f"{self.target.repository} on the Hub, where {who} can read them."
        )


class HubPublisher:
    """Publishes models of a person's own, on their account.

    Args:
        painter: Paints the samples of what has none.
        endpoint: The Hub's address; None for HF_ENDPOINT's.
    """

    def __init__(self, painter: Painter, endpoint: str | None = None) -> None:
        self._painter = painter
        self._endpoint = endpoint

    def preview(
        self,
        files: ModelFiles,
        target: str,
        *,
        licence: str,
        private: bool = True,
        replace: bool = False,
    ) -> Publication:
        """What publishing the model in `files` as `target` (owner/name) would send; sends nothing.

        Raises:
            HubError: If the name or the licence can't be used.
            ModelError: If the model can't.
        """
        where, info, story = HubId.parse(target), describe(files), story_of(files)
        if where.revision:
            raise HubError("A model is published on the main branch.", "Leave the revision out.")
        weights = files.weights_sha256
        card = Card(where, info, story, licence, self.licence_of(story.base_model), weights)
        return Publication(
            where,
            private,
            replace,
            (
                PublicFile(CARD, card.text().encode()),
                *_model_files(files),
                PublicFile(SAMPLES, self._samples(files, info, story)),
            ),
            weights,
        )

    def push(
        self, publication: Publication, token: str | None = None
    ) -> Generator[Transfer, None, str]:
        """Send a `publication` that its owner has seen and agreed to; returns its address.

        Args:
            publication: From `preview`.
            token: Whose account it is; None for HF_TOKEN's or the machine's own login. It is
                kept nowhere.

        Yields:
            How far it is. What is being sent can't be called back by closing the stream.

        Raises:
            HubError: If the Hub can't be reached or refuses, or something else is there already.
        """
        if token is not None and not TOKEN.fullmatch(token):
            raise HubError(
                "This is no token of the Hub.", "Make one that may write, in its settings."
            )
        return (yield from reported(lambda report: self._push(publication, token, report)))

    def licence_of(self, model_id: str) -> str:
        """The licence that the card of the model called `model_id` names; empty if none."""
        try:
            card = self._painter.models.find(model_id).folder / CARD
            found = metadata_load(card) if card.is_file() else None
        except (StudioError, OSError, ValueError):
            return ""
        licence = (found or {}).get("license", "")
        return licence if isinstance(licence, str) else ""

    def _push(self, publication: Publication, token: str | None, report: Report) -> str:
        target, total = publication.target, publication.size
        api = HfApi(endpoint=self._endpoint, token=token)
        report(Transfer(0, total, "asking the Hub"))
        self._check_unchanged(publication)
        with hub_faults(target):
            api.whoami()
            self._open_repository(api, publication)
            report(Transfer(0, total, "sending"))
            done = api.create_commit(
                target.repository,
                operations=[CommitOperationAdd(f.path, f.source) for f in publication.files],
                commit_message="Publish from Plein Air",
            )
        report(Transfer(total, total, "done"))
        return str(done.repo_url)

    def _open_repository(self, api: HfApi, publication: Publication) -> None:
        repository = publication.target.repository
        try:
            there = api.model_info(repository)
        except RepositoryNotFoundError:
            api.create_repo(repository, private=publication.private)
            return
        if bool(there.private) != publication.private:
            raise HubError(
                f"{repository} is there already, and is {'' if there.private else 'not '}private.",
                "Choose another name, or the same visibility.",
            )
        # Where an upload failed, the repository that was made for it has nothing to be replaced.
        names = {file.rfilename for file in there.siblings or ()}
        if names - {GENERATED} and not publication.replace:
            raise HubError(
                f"{repository} is there already.",
                "Choose another name, or say that its files may be replaced.",
            )

    def _check_unchanged(self, publication: Publication) -> None:
        for file in publication.files:
            if not isinstance(file.source, Path):
                continue
            try:
                with file.source.open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError:
                found = ""
            if found != publication.weights:
                raise HubError(
                    "The model changed since it was shown.", "Look again at what would be public."
                )

    def _samples(self, files: ModelFiles, info: ModelInfo, story: Story) -> bytes:
        if story.samples is not None:
            return story.samples.read_bytes()
        # A name of its own: the folder's may be another model's.
        own = ModelFiles(f"published-{files.weights_sha256[:16]}", files.folder)
        self._painter.models.adopt(own)
        columns = 4 if info.size <= LARGE else 1
        recipe = Recipe(
            model=own.id,
            steps=min(SAMPLE_STEPS, info.num_train_timesteps),
            pictures=columns**2,
            label=0 if info.labels else None,
        )
        sheet = Image.new("RGB", (columns * info.size, columns * info.size))
        for i, picture in enumerate(self._painter.film(recipe)[-1].x_t):
            place = (i % columns * info.size, i // columns * info.size)
            sheet.paste(Image.fromarray(picture), place)
        buffer = io.BytesIO()
        sheet.save(buffer, "png")
        return buffer.getvalue()


def _model_files(files: ModelFiles) -> tuple[PublicFile, ...]:
    """The model's own files, in its layout; the weights are sent from the disk."""
    weights = files.weights_file.relative_to(files.folder).as_posix()
    names = ("model_index.json", "labels.json", "config.json", "unet/config.json",
             "scheduler_config.json", "scheduler/scheduler_config.json")  # fmt: skip
    here = [name for name in names if (files.folder / name).is_file()]
    sums = f"{files.weights_sha256}  {weights}\n".encode()
    return (
        *(PublicFile(name, _without_places(files.folder / name)) for name in here),
        PublicFile(CHECKSUMS, sums),
        PublicFile(weights, files.weights_file),
    )


def _without_places(path: Path) -> bytes:
    """A configuration without what it says about the machine."""
    table = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: value for name, value in table.items() if name not in PRIVATE_KEYS}
    return json.dumps(kept, indent=2).encode() + b"\n"
