"""Publishing on the Hub: a person is shown the files first, and exactly these are sent."""

import hashlib
import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import CommitOperationAdd, HfApi, metadata_load
from huggingface_hub.errors import RepositoryNotFoundError

from app.errors import HubError, StudioError
from app.hub.card import SAMPLES, ModelHistory, card_text, history_of
from app.hub.errors import hub_faults
from app.hub.repository import HubId
from app.hub.transfer import Report, Transfer, reported
from app.images.encoding import png_bytes
from app.images.sheets import tiled
from app.models.autoencoders import PARTS
from app.models.files import ModelFiles, ModelInfo, describe
from app.models.network_files import CHECKSUMS
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.painting.runs import LoadedRun

CARD: Final = "README.md"
GENERATED: Final = ".gitattributes"
"""The only file that the Hub puts into a new repository."""

SAMPLE_STEPS: Final = 50
LARGE: Final = 64
"""The side in pixels above which only one sample is painted: on two cores each takes minutes."""

PRIVATE_KEYS: Final = ("_name_or_path",)
"""The keys under which diffusers writes a model's path on this machine into configurations."""

TOKEN: Final = re.compile(r"[\x21-\x7e]{8,512}")


@dataclass(frozen=True)
class PublicFile:
    """A file as it will be in the repository; `source` is its bytes or their path."""

    path: str
    source: bytes | Path

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        source = self.source
        return source.stat().st_size if isinstance(source, Path) else len(source)


@dataclass(frozen=True)
class Publication:
    """All that would be published; `HubPublisher.push` sends exactly this.

    Attributes:
        target: The repository to publish in.
        private: Whether only the owner will see the repository.
        replace: Whether the files of an existing repository may be replaced.
        card: The text of the model's card.
        samples: The sheet of samples, a PNG.
        model: The model's own files.
        weights: The sha256 of the weights, which mustn't change until they are sent.
    """

    target: HubId
    private: bool
    replace: bool
    card: str
    samples: bytes
    model: tuple[PublicFile, ...]
    weights: str

    @property
    def files(self) -> tuple[PublicFile, ...]:
        """All files, the card first."""
        card, samples = PublicFile(CARD, self.card.encode()), PublicFile(SAMPLES, self.samples)
        return (card, *self.model, samples)

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return sum(file.size for file in self.files)

    @property
    def in_words(self) -> str:
        """One sentence that says how much goes where, and who can read it."""
        who = "only its owner" if self.private else "everybody"
        return (
            f"{len(self.files)} files, {self.size / 1e6:.1f} MB, would go to "
            f"{self.target.repository} on the Hub, where {who} can read them."
        )


class HubPublisher:
    """A publisher of a person's own models, on their account of the Hub.

    Args:
        painter: Paints samples for a model without any.
        endpoint: The Hub's address; None for that of HF_ENDPOINT.
    """

    def __init__(self, painter: Painter, endpoint: str | None = None) -> None:
        self._painter = painter
        self._endpoint = endpoint

    def preview(
        self,
        files: ModelFiles,
        target: str,
        *,
        licence: str = "",
        private: bool = True,
        replace: bool = False,
    ) -> Publication:
        """Prepare to publish the model in `files` as `target` (owner/name), without sending it.

        Without a licence the base model's is taken.

        Raises:
            HubError: If the name or the licence can't be used.
            ModelError: If the model can't be used.
        """
        where, info, history = HubId.parse(target), describe(files), history_of(files)
        if where.revision:
            raise HubError("A model is published on the main branch.", "Leave the revision out.")
        weights, base = files.weights_sha256, self.licence_of(history.base_model)
        licence = licence or base
        card = card_text(where, info, history, licence=licence, base_licence=base, weights=weights)
        samples = self._samples(files, info, history)
        return Publication(where, private, replace, card, samples, _model_files(files), weights)

    def push(
        self, publication: Publication, token: str | None = None
    ) -> Generator[Transfer, None, str]:
        """Send a `publication` that its owner has seen and agreed to; return its address.

        Args:
            publication: From `preview`.
            token: The token of the owner's account; None for HF_TOKEN or the machine's own login.
                It is kept nowhere.

        Yields:
            The progress. Closing the stream doesn't stop files that are being sent.

        Raises:
            HubError: If the Hub can't be reached or refuses, the model has changed since the
                preview, or the repository exists already.
        """
        if token is not None and not TOKEN.fullmatch(token):
            raise HubError(
                "This is no token of the Hub.", "Make one that may write, in its settings."
            )
        return (yield from reported(lambda report: self._push(publication, token, report)))

    def licence_of(self, model_id: str) -> str:
        """Read the licence that the card of the model `model_id` names; empty if none."""
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
        # After a failed upload the new repository is still empty: nothing would be replaced.
        names = {file.rfilename for file in there.siblings or ()}
        if names - {GENERATED} and not publication.replace:
            raise HubError(
                f"{repository} is there already.",
                "Choose another name, or say that its files may be replaced.",
            )

    def _check_unchanged(self, publication: Publication) -> None:
        (sums,) = (file.source for file in publication.model if file.path == CHECKSUMS)
        shown = sums.decode().splitlines() if isinstance(sums, bytes) else []
        for file in publication.model:
            if not isinstance(file.source, Path):
                continue
            try:
                with file.source.open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError:
                found = ""
            if f"{found}  {file.path}" not in shown:
                raise HubError(
                    "The model changed since it was shown.", "Look again at what would be public."
                )

    def _samples(self, files: ModelFiles, info: ModelInfo, history: ModelHistory) -> bytes:
        if history.samples is not None:
            return history.samples.read_bytes()
        # Under an id of its own, as another model may have the folder's name.
        own = ModelFiles(f"published-{files.weights_sha256[:16]}", files.folder)
        self._painter.models.adopt(own)
        recipe = Recipe(
            model=own.id,
            steps=min(SAMPLE_STEPS, info.num_train_timesteps),
            pictures=16 if info.size <= LARGE else 1,
            label=info.some_label,
        )
        run = LoadedRun.of(recipe, self._painter.models.load(own.id))  # not limited as a visitor's
        return png_bytes(tiled(self._painter.films.result(run)[-1].x_t))


def _model_files(files: ModelFiles) -> tuple[PublicFile, ...]:
    """List the model's own files, in its layout; the weights are sent from the disk."""
    names = ("model_index.json", "labels.json", "analytic.json", "schedules.json", "config.json",
             "unet/config.json", "scheduler_config.json", "scheduler/scheduler_config.json",
             *(f"{part}/config.json" for part in PARTS))  # fmt: skip
    here = [name for name in names if (files.folder / name).is_file()]
    return (
        *(PublicFile(name, _without_places(files.folder / name)) for name in here),
        PublicFile(CHECKSUMS, files.checksums.encode()),
        *(
            PublicFile(path.relative_to(files.folder).as_posix(), path)
            for path in files.all_weights_files
        ),
    )


def _without_places(path: Path) -> bytes:
    """Read a configuration, as JSON, without the keys that give paths on this machine."""
    table = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: value for name, value in table.items() if name not in PRIVATE_KEYS}
    return json.dumps(kept, indent=2).encode() + b"\n"
