"""The Hub's models that were added here: which commit of each, and where it lies in the cache.

DATA/hub.json names them. Their files are in the Hub's own cache, which other programs on the
machine share; what isn't there any more is left out until it is added again.
"""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import try_to_load_from_cache

from app.errors import HubError
from app.service.hub.ids import HubId
from app.service.model_files import ModelFiles
from app.training.files import read_json, replace_json

NAME: Final = "hub.json"


@dataclass(frozen=True)
class Entry:
    """A model that was added.

    Attributes:
        commit: The commit it was at; a later one on the Hub changes nothing here.
        files: Its files' paths inside the repository.
    """

    commit: str
    files: tuple[str, ...]


class HubLibrary:
    """The models of the Hub that can be painted with, each at the commit at which it was added.

    Args:
        data_dir: The studio's data folder.
        cache_dir: The Hub's cache; None for the one that HF_HOME or HF_HUB_CACHE names.
    """

    def __init__(self, data_dir: Path, cache_dir: Path | None = None) -> None:
        self._path = data_dir / NAME
        self.cache_dir = cache_dir

    def models(self) -> Mapping[str, ModelFiles]:
        """The models that are whole in the cache, by id, in the order in which they were added."""
        found = {}
        for name, entry in self._read().items():
            folder = self._folder(HubId.parse(name), entry)
            if folder is not None:
                found[name] = ModelFiles(name, folder)
        return found

    def entry(self, model: HubId) -> Entry | None:
        """How `model` was added, wherever its files are now; None if it wasn't."""
        return self._read().get(str(model))

    def put(self, model: HubId, entry: Entry) -> None:
        """Add `model`, or bring it to another commit."""
        with self._changing():
            entries = self._read() | {str(model): entry}
            replace_json(self._path, {name: asdict(each) for name, each in entries.items()})

    def remove(self, model: HubId) -> None:
        """Forget `model`; its files stay in the cache.

        Raises:
            HubError: If it wasn't added.
        """
        with self._changing():
            entries = self._read()
            if entries.pop(str(model), None) is None:
                raise HubError(f"{model} was not added here.", "See `python -m app models`.")
            replace_json(self._path, {name: asdict(each) for name, each in entries.items()})

    def _folder(self, model: HubId, entry: Entry) -> Path | None:
        folder = None
        for name in entry.files:
            path = try_to_load_from_cache(
                model.repository, name, cache_dir=self.cache_dir, revision=entry.commit
            )
            if not isinstance(path, str) or not Path(path).exists():
                return None
            folder = Path(path).parents[name.count("/")]
        return folder

    def _read(self) -> dict[str, Entry]:
        if not self._path.is_file():
            return {}
        try:
            table = read_json(self._path)
            return {
                str(HubId.parse(name)): Entry(str(each["commit"]), tuple(map(str, each["files"])))
                for name, each in table.items()
            }
        except (HubError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HubError(
                f"{self._path.name} in the data folder is damaged.",
                "Delete it, and add the models again; they are in the cache.",
            ) from error

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time, whichever process makes it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.with_name(f".{NAME}.lock").open("wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise HubError(
                f"{NAME} can't be written: {error}.", "Check the data folder and its disk."
            ) from error
