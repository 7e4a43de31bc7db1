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
            "DATABASE_URL": "postgresql://host/jobs",
            "PLEIN_AIR_MACHINE": "atelier-2",
            "PLEIN_AIR_MODEL_MEMORY_MB": "500",
            "PLEIN_AIR_ADD_MODELS": "1",
            "PLEIN_AIR_PICTURE_STEPS": "5",
            "PLEIN_AIR_REQUESTS_PER_MINUTE": "6",
            "PLEIN_AIR_QUEUE_LENGTH": "0",
            "PLEIN_AIR_TRAINING_VIEWS": "7",
            "PLEIN_AIR_JOBS_PER_VISITOR": "8",
            "PLEIN_AIR_JOB_QUEUE_LENGTH": "9",
            "PLEIN_AIR_PROXIES": "2",
            "PLEIN_AIR_MCP": "1",
            "OAUTH_CLIENT_ID": "1234",
            "SPACE_ID": "somebody/plein-air",
            "SPACES_ZERO_GPU": "true",
        }
    )
    assert (settings.server_name, settings.server_port) == ("0.0.0.0", 7999)
    assert (settings.device, settings.threads) == ("cpu", 1)
    assert (settings.data_dir, settings.single_user) == (tmp_path / "new", False)
    assert (settings.upload_quota_mb, settings.job_quota_mb, settings.job_threads) == (10, 20, 3)
    assert (settings.database_url, settings.machine) == ("postgresql://host/jobs", "atelier-2")
    assert (settings.model_memory_mb, settings.add_models) == (500, True)
    limits = (settings.picture_steps, settings.requests_per_minute, settings.queue_length)
    assert limits == (5, 6, 0)
    jobs = (settings.training_views, settings.jobs_per_visitor, settings.job_queue_length)
    assert jobs == (7, 8, 9)
    assert settings.proxies == 2
    assert settings.mcp
    assert settings.oauth_client_id == "1234"
    assert (settings.space_id, settings.zero_gpu) == ("somebody/plein-air", True)
    assert settings.model_roots == (BUNDLED_MODELS, tmp_path)


@pytest.mark.parametrize(
    ("environment", "alone"),
    [
        ({}, True),
        ({"GRADIO_SERVER_NAME": "localhost"}, True),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, False),
        ({"SPACE_ID": "somebody/plein-air"}, False),
        ({"SPACE_ID": "somebody/plein-air", "PLEIN_AIR_SINGLE_USER": "1"}, True),
    ],
)
def test_where_others_can_come_each_sees_their_own(
    environment: dict[str, str], alone: bool
) -> None:
    assert Settings.from_environment(environment).single_user == alone


def test_another_process_can_be_given_the_same_settings(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, single_user=False, models_dir=tmp_path, threads=2)
    assert Settings.from_environment(settings.variables()) == settings
    assert Settings.from_environment(Settings().variables()) == Settings()


def test_models_are_added_by_whoever_opens_the_page_only_if_they_are_alone() -> None:
    assert Settings().may_add_models
    assert not Settings(single_user=False).may_add_models
    assert Settings(single_user=False, add_models=True).may_add_models
    assert not Settings(add_models=False).may_add_models


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
        ("DATABASE_URL", "mysql://host/jobs"),
        ("PLEIN_AIR_MACHINE", "../elsewhere"),
        ("PLEIN_AIR_MODEL_MEMORY_MB", "all"),
        ("PLEIN_AIR_ADD_MODELS", "perhaps"),
        ("PLEIN_AIR_PROXIES", "one"),
        ("PLEIN_AIR_MCP", "maybe"),
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
