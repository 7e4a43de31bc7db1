"""Adding a model of the Hub: looked at first, refused if it can't be used, then downloaded."""

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, NoReturn

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from tqdm.auto import tqdm

from app.errors import ModelError, UnreachableError
from app.service.hub.faults import hub_faults
from app.service.hub.ids import HubId
from app.service.hub.layout import Layout, RemoteFile, layout_of
from app.service.hub.library import Entry, HubLibrary
from app.service.hub.progress import Report, Transfer, reported
from app.service.model_files import ModelFiles
from app.service.models import ModelInfo, ModelStore, describe
from app.service.weights import check_fits, empty_network, schedule_of

SPARE_BYTES: Final = 200_000_000
"""What is left free on the disk."""


class HubModels:
    """Brings models of the Hub here.

    Args:
        library: Where they are kept track of.
        models: Where they are painted with; it says whether one fits into the memory.
        endpoint: The Hub's address; None for HF_ENDPOINT's.
        token: Who asks; None for HF_TOKEN's or the machine's own login, False for nobody.
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

        Its configurations come first: what is no DDPM, or too large, is refused before its
        weights are asked for. Without a network what the cache has is taken.

        Yields:
            How far the download is. Closing the stream ends it; what is whole is kept.

        Raises:
            HubError: If the name is none, or the Hub can't be reached or refuses.
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
        folder = self._fetch(download, layout.configurations)
        files = ModelFiles(str(model), folder)
        self._refuse_early(files, layout)
        self._fetch(download, (layout.weights,))
        return self._put(files, commit, tuple(file.path for file in layout.files))

    def _look(self, model: HubId) -> tuple[str, Layout]:
        api = HfApi(endpoint=self._endpoint, token=self._token)
        with hub_faults(model):
            info = api.model_info(
                model.repository, revision=model.revision or None, files_metadata=True
            )
        files = (RemoteFile(it.rfilename, it.size or 0) for it in info.siblings or ())
        return str(info.sha), layout_of(model, files)

    def _from_cache(self, model: HubId, reason: UnreachableError) -> ModelInfo:
        entry = self._library.entry(model)
        if entry is None and self._token is False:
            raise reason  # the cache may hold what its owner's token brought, and nobody else's
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
        layout = layout_of(
            model,
            (RemoteFile(p.relative_to(files.folder).as_posix(), p.stat().st_size) for p in here),
        )
        paths = tuple(file.path for file in layout.files)
        return self._put(files, files.folder.name, paths)

    def _fetch(self, download: "_Download", files: tuple[RemoteFile, ...]) -> Path:
        folder = Path()
        for file in files:
            with hub_faults(download.model):
                path = hf_hub_download(
                    download.model.repository,
                    file.path,
                    revision=download.commit,
                    cache_dir=self._library.cache_dir,
                    endpoint=self._endpoint,
                    token=self._token,
                    tqdm_class=download.bar_for(file),
                )
            download.finish(file)
            folder = Path(path).parents[file.path.count("/")]
        return folder

    def _refuse_early(self, files: ModelFiles, layout: Layout) -> None:
        schedule_of(files)
        self._models.budget.refuse_if_never(
            files.id, empty_network(files).num_parameters(), files.unet_config, layout.weights.size
        )
        cache = self._library.cache_dir or Path(constants.HF_HUB_CACHE)
        free = shutil.disk_usage(cache).free
        if free < layout.weights.size + SPARE_BYTES:
            raise ModelError(
                f"The model {files.id!r} is too large for the disk: its weights have "
                f"{layout.weights.size / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free.",
                "Make room, or name another cache in HF_HOME.",
            )

    def _put(self, files: ModelFiles, commit: str, paths: tuple[str, ...]) -> ModelInfo:
        info = describe(files)
        check_fits(files)
        self._library.put(HubId.parse(files.id), Entry(commit, paths))
        self._models.shelf.drop(files.id)  # it may have been there at another commit
        return info


class _Download:
    """A download's progress over all its files, told by the bars that the Hub's client moves."""

    def __init__(self, model: HubId, commit: str, layout: Layout, report: Report) -> None:
        self.model = model
        self.commit = commit
        self._total = layout.size
        self._report = report
        self._finished = 0

    def bar_for(self, file: RemoteFile) -> "type[tqdm[NoReturn]]":
        """A class of progress bars that shows nothing and reports."""
        furthest = 0

        def moved(count: float) -> None:
            # There may be two bars of one file: bytes received, and bytes put together.
            nonlocal furthest
            furthest = max(furthest, int(count))
            done = min(self._finished + furthest, self._total)
            self._report(Transfer(done, self._total, file.path))

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

    def finish(self, file: RemoteFile) -> None:
        """Count a file that is whole; it may have been in the cache."""
        self._finished += file.size
        self._report(Transfer(self._finished, self._total, file.path))
