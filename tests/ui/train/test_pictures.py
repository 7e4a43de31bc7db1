"""What becomes of the sets when pictures are uploaded, squared again and removed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from app.datasets.uploads import Sets
from app.owners import ALONE
from app.settings import Settings
from app.studio import Studio
from app.ui.train.pictures import Brought, PictureDesk
from app.ui.uploads import own_folder
from tests.training.tiny import save_pictures

NOBODY = cast(gr.Request, None)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PictureDesk:
    """The controls of a studio for one person; what lies in `tmp_path` counts as uploaded."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    settings = Settings(data_dir=tmp_path / "data", single_user=True)
    studio = SimpleNamespace(settings=settings, workshop=SimpleNamespace(sets=Sets(settings)))
    with gr.Blocks():
        return PictureDesk(cast(Studio, studio))


def uploaded(desk: PictureDesk, folder: Path, count: int) -> Brought:
    paths = [*save_pictures(own_folder() / folder.name, count).rglob("*.png")]
    brought: Brought = desk._add(paths, "crop", False, Brought(), NOBODY)[1]
    return brought


def listed(desk: PictureDesk) -> list[tuple[int, str]]:
    return [(len(found), found.fit) for found in desk._sets.list(ALONE)]


def test_squaring_again_takes_the_place_of_the_upload_alone(
    desk: PictureDesk, tmp_path: Path
) -> None:
    earlier = uploaded(desk, tmp_path / "earlier", 5)
    brought = uploaded(desk, tmp_path / "in", 6)
    skipped: list[Any] = desk._again(earlier.set_id, "squash", False, brought, NOBODY)
    assert skipped == [gr.skip()] * 3
    assert listed(desk) == [(5, "crop"), (6, "crop")]
    _, again, choice = desk._again(brought.set_id, "squash", False, brought, NOBODY)
    assert listed(desk) == [(5, "crop"), (6, "squash")]
    assert choice["value"] == again.set_id
    assert desk._again(again.set_id, "squash", True, again, NOBODY) == [gr.skip()] * 3


def test_a_set_that_was_there_before_is_not_let_go(desk: PictureDesk, tmp_path: Path) -> None:
    uploaded(desk, tmp_path / "in", 5)
    brought = uploaded(desk, tmp_path / "again", 5)
    desk._again(brought.set_id, "squash", False, brought, NOBODY)
    assert listed(desk) == [(5, "crop"), (5, "squash")]


def test_removing_another_set_keeps_the_uploads(desk: PictureDesk, tmp_path: Path) -> None:
    earlier = uploaded(desk, tmp_path / "earlier", 5)
    brought = uploaded(desk, tmp_path / "in", 6)
    assert desk._forget(earlier.set_id, brought, NOBODY)[1] == brought
    assert brought.is_there
    assert desk._forget(brought.set_id, brought, NOBODY)[1] == Brought()
    assert not brought.is_there
    assert listed(desk) == []
