"""What training takes and gives as files doesn't stay on the disk twice."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from app.datasets.uploads import Sets
from app.errors import JobError
from app.models.files import ModelFiles
from app.settings import Settings
from app.studio import Studio
from app.ui.train.api import _add_picture_api
from app.ui.train.download import model_zip
from tests.training.tiny import save_pictures


@pytest.fixture(autouse=True)
def upload_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in `tmp_path` is the page's, and what in its folder of uploads, visitors'."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))


def test_files_are_gone_once_they_are_a_set_and_the_pages_own_stay(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", single_user=True)
    studio = SimpleNamespace(settings=settings, workshop=SimpleNamespace(sets=Sets(settings)))
    with gr.Blocks() as page:
        _add_picture_api(cast(Studio, studio))
    [upload] = [each.fn for each in page.fns.values() if each.api_name == "upload_pictures"]
    upload_pictures = cast(Callable[..., Any], upload)
    own = sorted(save_pictures(tmp_path / "gallery", 5).rglob("*.png"))
    files = sorted(save_pictures(tmp_path / "uploads" / "one", 5).rglob("*.png"))
    with pytest.raises(gr.Error, match="Only 3"):
        upload_pictures([{"path": str(path)} for path in files[:3]])
    assert all(path.is_file() for path in files)
    assert len(upload_pictures([{"path": str(path)} for path in files])["pictures"]) == 5
    assert list((tmp_path / "uploads").iterdir()) == []
    assert len(upload_pictures([{"path": str(path)} for path in own])["pictures"]) == 5
    assert all(path.is_file() for path in own)


class OneJob:
    """Jobs of which there is one, whose downloads are counted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name, self.downloads, self.owner = folder, "my garden", 0, "me"

    def show(self, owner: str, job_id: str) -> SimpleNamespace:
        if owner != self.owner:
            raise JobError("There is no such job.", "Choose one from the list.")
        return SimpleNamespace(name=self.name)

    def model(self, owner: str, job_id: str, step: int | None) -> ModelFiles:
        return ModelFiles(f"{job_id}-{step or 40}", self.folder)

    def download(self, owner: str, job_id: str, target: Path, step: int | None) -> None:
        self.downloads += 1
        target.write_text(f"a zip {self.downloads}")


def test_a_model_is_zipped_once_however_often_it_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    jobs = OneJob(tmp_path / "model")

    def fetched(step: int | None = None, owner: str = "me") -> Path:
        return model_zip(cast(Any, jobs), owner, "id", step)

    first = fetched()
    assert (first.name, fetched(), jobs.downloads) == ("my-garden.zip", first, 1)
    assert fetched(20).name == "my-garden-step-20.zip"
    assert (fetched(20).parent == first.parent, jobs.downloads) == (False, 2)
    (tmp_path / "model" / "written anew").touch()
    assert (fetched() == first, jobs.downloads) == (False, 3)
    assert [path.name for path in first.parent.iterdir()] == [first.name]
    with pytest.raises(JobError):
        fetched(owner="them")
