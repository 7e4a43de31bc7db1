"""No part of the page fetches what a caller names by an address."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import pytest

from app.settings import Settings
from app.studio import Studio
from app.ui.endpoints.files import saved_file
from app.ui.page import build


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gr.Blocks:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    return build(Studio(Settings(data_dir=tmp_path)))


@pytest.mark.parametrize(
    "address",
    [
        "http://192.0.2.1/picture.png",
        "https://192.0.2.1/gradio_api/file=/etc/hostname",
        "http://192.0.2.1/gradio_api/file=",
    ],
)
def test_what_lies_elsewhere_is_refused_by_every_component(page: gr.Blocks, address: str) -> None:
    assert any(isinstance(block, gr.File) for block in page.blocks.values())
    for block in page.blocks.values():
        with pytest.raises(gr.Error, match="no uploaded file"):
            asyncio.run(block.async_move_resource_to_block_cache(address))


def test_a_file_of_this_studio_is_found_by_its_address_and_by_its_path(page: gr.Blocks) -> None:
    path = saved_file("a name.png", b"bytes")["path"]  # type: ignore[index]
    (component, *_) = (block for block in page.blocks.values() if isinstance(block, gr.File))
    for place in (path, f"http://studio/gradio_api/file={path.replace(' ', '%20')}"):
        found = asyncio.run(component.async_move_resource_to_block_cache(place))
        assert found == str(Path(path).resolve())


def test_a_file_that_others_are_given_too_is_whole_whenever_it_is_read(page: gr.Blocks) -> None:
    data = bytes(3_000_000)
    path = Path(saved_file("equal.png", data)["path"])  # type: ignore[index]
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(saved_file, "equal.png", data) for _ in range(40)]
        while not all(other.done() for other in others):
            assert path.stat().st_size == len(path.read_bytes()) == len(data)
    assert {other.result()["path"] for other in others} == {str(path)}  # type: ignore[index]
