"""Whose account a model is published on: what was typed, who signed in, or the machine's own."""

from pathlib import Path

import gradio as gr
import pytest

from app.errors import HubError
from app.settings import Settings
from app.studio import Studio
from app.ui.hub.panel import account


def studio(folder: Path, *, single_user: bool) -> Studio:
    return Studio(Settings(data_dir=folder, device="cpu", threads=1, single_user=single_user))


def test_what_was_typed_comes_first_then_who_signed_in(tmp_path: Path) -> None:
    signed_in = gr.OAuthToken(token="hf_oauth", scope="contribute-repos", expires_at=2**40)
    for single_user in (True, False):
        where = studio(tmp_path, single_user=single_user)
        assert account(where, " hf_typed ", signed_in) == "hf_typed"
        assert account(where, "", signed_in) == "hf_oauth"


def test_the_machines_own_login_is_for_whoever_is_alone(tmp_path: Path) -> None:
    assert account(studio(tmp_path, single_user=True), "", None) is None
    with pytest.raises(HubError, match="Nobody is named"):
        account(studio(tmp_path, single_user=False), "", None)


def test_only_ones_own_models_can_be_published(tmp_path: Path) -> None:
    for single_user in (True, False):
        with pytest.raises(HubError, match="no model of your own"):
            studio(tmp_path, single_user=single_user).own_model("impressionist-64")
