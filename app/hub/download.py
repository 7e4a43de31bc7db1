"""Adding a model of the Hub: its configuration is checked before its weights are downloaded."""

import shutil
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from tqdm.auto import tqdm

from app.errors import ModelError, UnreachableError
from app.hub.errors import hub_faults
from app.hub.library import HubLibrary, LibraryEntry
from app.hub.repository import HubId, layout_of
from app.hub.transfer import Report, Transfer, reported
from app.models.autoencoders import empty_autoencoder
from app.models.files import ModelFiles, ModelInfo, describe
from app.models.loading import check_usable, empty_network, schedule_of
from app.models.store import ModelStore

SPARE_BYTES: Final = 200_000_000
"""The bytes that a download leaves free on the disk."""


class HubModels:
    """The downloads of models from the Hub.

    Args:
        library: The library that the models are added to.
        models: The studio's models, whose budget tells whether a new one fits into the memory.
        endpoint: The Hub's address; None for that of HF_ENDPOINT.
        token: The Hub's token; None for HF_TOKEN or the machine's own login, False for none.
    """

    def __init__(
        self,
        library: HubLibrary,
        models: ModelStore,
        endpoint: str | None = None,
        token: str | bool | None = None,
    ) -> None:
        self._library = library
        self._models = models
        self._endpoint = endpoint
        self._token = token

    def add(self, name: str, revision: str = "") -> Generator[Transfer, None, ModelInfo]:
        """Download the model that `name` (owner/name) means, unless it is in the cache.

        The configurations come first: a model that is no DDPM, or is too large, is refused before
        its weights are downloaded. Without a network the model is taken from the cache.

        Yields:
            The progress of the download. Closing the stream ends it; whole files are kept.

        Raises:
            HubError: If the name is invalid, or the Hub can't be reached or refuses.
            ModelError: If the model can't be used, with the reason.
        """
        model = HubId.parse(name, revision)
        return (yield from reported(lambda report: self._add(model, report)))

    def _add(self, model: HubId, report: Report) -> ModelInfo:
        try:
            commit, layout = self._look(model)
        except UnreachableError as error:
            return self._from_cache(model, error)
        download = _Download(model, commit, layout, report)
        weights = [name for name in layout if name.endswith(".safetensors")]
        files = ModelFiles(str(model), self._fetch(download, [*layout][: -len(weights)]))
        self._refuse_early(files, sum(layout[name] for name in weights))
        self._fetch(download, weights)
        return self._put(files, commit, layout)

    def _look(self, model: HubId) -> tuple[str, Mapping[str, int]]:
        api = HfApi(endpoint=self._endpoint, token=self._token)
        with hub_faults(model):
            info = api.model_info(
                model.repository, revision=model.revision or None, files_metadata=True
            )
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        return str(info.sha), layout_of(model, sizes)

    def _from_cache(self, model: HubId, reason: UnreachableError) -> ModelInfo:
        entry = self._library.entry(model)
        if entry is None and self._token is False:
            raise reason  # the cached model may be private to the owner of the machine's token
        try:
            folder = snapshot_download(
                model.repository,
                revision=entry.commit if entry else model.revision or None,
                cache_dir=self._library.cache_dir,
                local_files_only=True,
            )
        except (OSError, ValueError):
            raise reason from None
        files = ModelFiles(str(model), Path(folder))
        here = (path for path in files.folder.rglob("*") if path.is_file())
        sizes = {p.relative_to(files.folder).as_posix(): p.stat().st_size for p in here}
        return self._put(files, files.folder.name, layout_of(model, sizes))

    def _fetch(self, download: "_Download", files: Sequence[str]) -> Path:
        folder = Path()
        for file in files:
            with hub_faults(download.model):
                path = hf_hub_download(
                    download.model.repository,
                    file,
                    revision=download.commit,
                    cache_dir=self._library.cache_dir,
                    endpoint=self._endpoint,
                    token=self._token,
                    tqdm_class=download.bar_for(file),
                )
            download.finish(file)
            folder = Path(path).parents[file.count("/")]
        return folder

    def _refuse_early(self, files: ModelFiles, weights: int) -> None:
        schedule_of(files)
        parameters = empty_network(files).num_parameters()
        if files.autoencoder:
            parameters += empty_autoencoder(files.autoencoder).num_parameters()
        self._models.budget.needed(files, parameters, weights)
        cache = self._library.cache_dir or Path(constants.HF_HUB_CACHE)
        free = shutil.disk_usage(cache).free
        if free < weights + SPARE_BYTES:
            raise ModelError(
                f"The model {files.id!r} is too large for the disk: its weights have "
                f"{weights / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free.",
                "Make room, or name another cache in HF_HOME.",
            )

    def _put(self, files: ModelFiles, commit: str, layout: Mapping[str, int]) -> ModelInfo:
        info = describe(files)
        check_usable(files)
        self._library.put(HubId.parse(files.id), LibraryEntry(commit, tuple(layout)))
        return info


class _Download:
    """A download's progress over all its files, taken from the Hub client's progress bars."""

    def __init__(
        self, model: HubId, commit: str, layout: Mapping[str, int], report: Report
    ) -> None:
        self.model = model
        self.commit = commit
        self._sizes, self._total = layout, sum(layout.values())
        self._report = report
        self._finished = 0

    def bar_for(self, file: str) -> "type[tqdm[NoReturn]]":
        """Make a class of progress bars that show nothing, and report the download of `file`."""
        furthest = 0

        def moved(count: float) -> None:
            # One file may have two bars: bytes received, and bytes assembled.
            nonlocal furthest
            furthest = max(furthest, int(count))
            done = min(self._finished + furthest, self._total)
            self._report(Transfer(done, self._total, file))

        class Bar(tqdm):  # type: ignore[type-arg]  # a subscript only in the stubs
            def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
                kwargs.pop("name", None)
                super().__init__(*args, **kwargs | {"disable": True})
                self.count = float(kwargs.get("initial", 0) or 0)
                moved(self.count)

            def update(self, n: float | None = 1) -> bool | None:
                self.count += n or 0
                moved(self.count)
                return None

        return Bar

    def finish(self, file: str) -> None:
        """Count a whole file as finished, downloaded or from the cache."""
        self._finished += self._sizes[file]
        self._report(Transfer(self._finished, self._total, file))
