"""The library of models added from the Hub, each with its commit and its files in the cache.

DATA/hub.json lists the models. Their files are in the Hub's own cache, which other programs on the
machine share; a model that is no longer there is left out until it is added again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import try_to_load_from_cache

from app.errors import HubError
from app.files import read_json, replace_json
from app.hub.repository import HubId
from app.locks import locked
from app.models.files import ModelFiles

NAME: Final = "hub.json"


@dataclass(frozen=True)
class LibraryEntry:
    """A model that was added.

    Attributes:
        commit: The commit that was added; later commits on the Hub change nothing here.
        files: The paths of the model's files inside the repository.
    """

    commit: str
    files: tuple[str, ...]


class HubLibrary:
    """The models of the Hub that can be painted with, each at the commit that was added.

    Args:
        data_dir: The studio's data folder.
        cache_dir: The Hub's cache; None for that of HF_HOME or HF_HUB_CACHE.
    """

    def __init__(self, data_dir: Path, cache_dir: Path | None = None) -> None:
        self._path = data_dir / NAME
        self.cache_dir = cache_dir

    def models(self) -> Mapping[str, ModelFiles]:
        """Find the models that are whole in the cache, by id, in the order they were added."""
        return {
            name: ModelFiles(name, folder)
            for name, entry in self._read().items()
            if (folder := self._folder(HubId.parse(name), entry))
        }

    def entry(self, model: HubId) -> LibraryEntry | None:
        """Return the entry of `model`, wherever its files are now; None if it wasn't added."""
        return self._read().get(str(model))

    def put(self, model: HubId, entry: LibraryEntry) -> None:
        """Add `model`, or replace its entry."""
        with self._changing() as entries:
            entries[str(model)] = entry

    def remove(self, model: HubId) -> None:
        """Forget `model`; its files stay in the cache.

        Raises:
            HubError: If the model wasn't added.
        """
        with self._changing() as entries:
            if entries.pop(str(model), None) is None:
                raise HubError(f"{model} was not added here.", "See `python -m app models`.")

    def _folder(self, model: HubId, entry: LibraryEntry) -> Path | None:
        folder = None
        for name in entry.files:
            path = try_to_load_from_cache(
                model.repository, name, cache_dir=self.cache_dir, revision=entry.commit
            )
            if not isinstance(path, str) or not Path(path).exists():
                return None
            folder = Path(path).parents[name.count("/")]
        return folder

    def _read(self) -> dict[str, LibraryEntry]:
        if not self._path.is_file():
            return {}
        try:
            table = read_json(self._path)
            return {
                str(HubId.parse(name)): LibraryEntry(
                    str(each["commit"]), tuple(map(str, each["files"]))
                )
                for name, each in table.items()
            }
        except (HubError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HubError(
                f"{self._path.name} in the data folder is damaged.",
                "Delete it, and add the models again; they are in the cache.",
            ) from error

    @contextmanager
    def _changing(self) -> Iterator[dict[str, LibraryEntry]]:
        """Yield the entries to be changed, by one process at a time, and write them back."""
        try:
            with locked(self._path.with_name(f".{NAME}.lock")):
                entries = self._read()
                yield entries
                replace_json(self._path, {name: asdict(each) for name, each in entries.items()})
        except OSError as error:
            raise HubError(
                f"{NAME} can't be written: {error}.", "Check the data folder and its disk."
            ) from error
