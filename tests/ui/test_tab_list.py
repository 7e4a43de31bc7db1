"""A tab is a folder and a line in the list of tabs."""

from pathlib import Path
from typing import Annotated

import gradio as gr
from pydantic import Field

from app.settings import ASSETS, Settings
from app.studio import Studio
from app.ui.components.layout import FOLDER, Header
from app.ui.endpoints.endpoint import expose
from app.ui.page import build
from app.ui.tab_list import TABS, Tab
from app.ui.theme import STUDIO_HEAD
from tools.api_docs.reference import sections


def build_tiny(_: Studio, header: Header, tab: gr.Tab) -> None:
    assert tab.parent is header.tabs
    gr.Markdown("tiny indeed", elem_id="tiny-words")


def add_tiny_api(_: Studio, network: str) -> None:
    def shrink(number: Annotated[int, Field(description="The number.")]) -> int:
        """Halve a number.

        Returns:
            half: The half.
        """
        return number // 2

    expose(shrink, concurrency_id=network)


TINY = Tab("Tiny", build_tiny, "Shrinking", add_tiny_api)


def test_a_line_in_the_list_is_a_tab_with_endpoints(model_root: Path, tmp_path: Path) -> None:
    settings = Settings(models_dir=model_root, default_model="tiny", data_dir=tmp_path)
    page = build(Studio(settings), (*TABS, TINY))
    blocks = page.blocks.values()
    shown = [each for each in blocks if isinstance(each, gr.Tab) and each.id == each.elem_id]
    assert [each.label for each in shown if each.id] == [*(tab.name for tab in TABS), "Tiny"]
    assert [each.elem_id for each in shown[-1].children] == ["tiny-words"]
    calls = [each.api_name for each in page.fns.values() if each.api_visibility == "public"]
    assert calls[-1] == "shrink"
    assert calls[0] == "paint"


def test_its_endpoints_have_a_section_of_their_own() -> None:
    *_, (heading, endpoints) = sections((*TABS, TINY)).items()
    assert (heading, [endpoint.name for endpoint in endpoints]) == ("Shrinking", ["shrink"])


def test_the_page_has_the_scripts_and_the_style_of_each_tab() -> None:
    files = [file for tab in TABS for file in (ASSETS / tab.id).glob("*")]
    assert len(files) > 5
    assert all(file.read_text(encoding="utf-8") in STUDIO_HEAD for file in files)


def test_the_tabs_open_with_the_runs_that_are_kept() -> None:
    films = [
        f"{name}{part}.json" for name in ("denoising", "mixing") for part in ("", "-experiment")
    ]
    kept = {*films, "grid.png", "morph.png", "bound.json", "training.json"}
    assert {file.name for file in FOLDER.iterdir()} == kept
