"""Settings come from the environment, and a wrong one is said clearly."""

from dataclasses import fields
from pathlib import Path

import pytest

from app.errors import StudioError
from app.settings import BUNDLED_MODELS, ROOT, VARIABLES, Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings.from_environment({"GRADIO_SERVER_PORT": ""}) == Settings()


def test_each_variable_reaches_its_setting(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "GRADIO_SERVER_NAME": "0.0.0.0",
            "GRADIO_SERVER_PORT": "7999",
            "PLEIN_AIR_MODELS": str(tmp_path),
            "PLEIN_AIR_DEVICE": "cpu",
            "PLEIN_AIR_THREADS": "1",
            "PLEIN_AIR_DATA": str(tmp_path / "new"),
            "PLEIN_AIR_SINGLE_USER": "0",
            "PLEIN_AIR_UPLOAD_QUOTA_MB": "10",
            "PLEIN_AIR_JOB_QUOTA_MB": "20",
            "PLEIN_AIR_JOB_THREADS": "3",
        }
    )
    assert (settings.server_name, settings.server_port) == ("0.0.0.0", 7999)
    assert (settings.device, settings.threads) == ("cpu", 1)
    assert (settings.data_dir, settings.single_user) == (tmp_path / "new", False)
    assert (settings.upload_quota_mb, settings.job_quota_mb, settings.job_threads) == (10, 20, 3)
    assert settings.model_roots == (BUNDLED_MODELS, tmp_path)


def test_another_process_can_be_given_the_same_settings(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, single_user=False, models_dir=tmp_path, threads=2)
    assert Settings.from_environment(settings.variables()) == settings
    assert Settings.from_environment(Settings().variables()) == Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GRADIO_SERVER_PORT", "http"),
        ("GRADIO_SERVER_PORT", "0"),
        ("GRADIO_SERVER_PORT", "70000"),
        ("PLEIN_AIR_THREADS", "-1"),
        ("PLEIN_AIR_DEVICE", "toaster"),
        ("PLEIN_AIR_MODELS", "/no/such/folder"),
        ("PLEIN_AIR_DATA", __file__),
        ("PLEIN_AIR_SINGLE_USER", "yes"),
        ("PLEIN_AIR_JOB_QUOTA_MB", "0"),
    ],
)
def test_a_value_that_can_not_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(StudioError, match=variable) as caught:
        Settings.from_environment({variable: value})
    assert caught.value.hint


def test_every_setting_has_a_variable_and_is_documented() -> None:
    assert set(VARIABLES) == {field.name for field in fields(Settings)}
    documented = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert all(f"`{variable}`" in documented for variable in VARIABLES.values())


def test_only_the_settings_read_the_environment() -> None:
    for path in (ROOT / "app").rglob("*.py"):
        if path.name != "settings.py":
            assert "os.environ" not in path.read_text(encoding="utf-8"), path
