"""Settings come from the environment, and a wrong one is said clearly."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import StudioError
from app.settings import BUNDLED_MODELS, ROOT, Settings


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
            "PLEIN_AIR_VISITOR_UPLOAD_MB": "11",
            "PLEIN_AIR_UPLOADS_MB": "12",
            "PLEIN_AIR_PROXIES": "2",
            "PLEIN_AIR_HOSTS": "studio.example, 192.168.0.9,",
            "PLEIN_AIR_MCP": "1",
            "OAUTH_CLIENT_ID": "1234",
            "SPACE_ID": "somebody/plein-air",
            "SPACE_HOST": "somebody-plein-air.hf.space",
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
    assert (settings.visitor_upload_mb, settings.uploads_mb) == (11, 12)
    assert settings.proxies == 2
    assert settings.hosts == ("studio.example", "192.168.0.9")
    assert settings.mcp
    assert settings.oauth_client_id == "1234"
    assert (settings.space_id, settings.zero_gpu) == ("somebody/plein-air", True)
    assert settings.space_host == "somebody-plein-air.hf.space"
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
    settings = Settings(
        data_dir=tmp_path,
        single_user=False,
        models_dir=tmp_path,
        threads=2,
        hosts=("studio.example", "studio"),
    )
    assert Settings.from_environment(settings.variables()) == settings
    assert Settings.from_environment(Settings().variables()) == Settings()


def test_models_are_added_by_whoever_opens_the_page_only_if_they_are_alone() -> None:
    assert Settings().may_add_models
    assert not Settings(single_user=False).may_add_models
    assert Settings(single_user=False, add_models=True).may_add_models
    assert not Settings(add_models=False).may_add_models


NUMBER = "Set it to a whole number from"
SWITCH = "Set it to 0 or 1."
NAMES = "List names such as studio.example, without ports, at commas."


@pytest.mark.parametrize(
    ("variable", "value", "said", "hint"),
    [
        ("GRADIO_SERVER_PORT", "http", "is 'http'.", f"{NUMBER} 1 to 65535."),
        ("GRADIO_SERVER_PORT", "0", "is '0'.", f"{NUMBER} 1 to 65535."),
        ("GRADIO_SERVER_PORT", "70000", "is '70000'.", f"{NUMBER} 1 to 65535."),
        ("PLEIN_AIR_THREADS", "-1", "is '-1'.", f"{NUMBER} 0 to 1024."),
        ("PLEIN_AIR_THREADS", "1_0", "is '1_0'.", f"{NUMBER} 0 to 1024."),
        ("PLEIN_AIR_THREADS", " 1", "is ' 1'.", f"{NUMBER} 0 to 1024."),
        ("PLEIN_AIR_DEVICE", "toaster", "is 'toaster'.", "Choose auto, cpu, cuda or mps."),
        ("PLEIN_AIR_MODELS", "/no/{x}", "names no folder: /no/{x}.", "Create it or unset it."),
        ("PLEIN_AIR_DATA", __file__, f"names a file: {__file__}.", "Name a folder."),
        ("PLEIN_AIR_SINGLE_USER", "yes", "is 'yes'.", SWITCH),
        ("PLEIN_AIR_JOB_QUOTA_MB", "0", "is '0'.", f"{NUMBER} 1 to 1000000000."),
        (
            "DATABASE_URL",
            "mysql://user:password@host/jobs",
            "is no address of a Postgres database.",
            "It looks like postgresql://user:password@host:5432/name.",
        ),
        (
            "PLEIN_AIR_MACHINE",
            "../elsewhere",
            "is '../elsewhere'.",
            "Use letters, digits, dots and dashes.",
        ),
        ("PLEIN_AIR_MODEL_MEMORY_MB", "all", "is 'all'.", f"{NUMBER} 0 to 1000000000."),
        ("PLEIN_AIR_ADD_MODELS", "perhaps", "is 'perhaps'.", SWITCH),
        ("PLEIN_AIR_PICTURE_STEPS", "null", "is 'null'.", f"{NUMBER} 0 to 1000000000."),
        ("PLEIN_AIR_PROXIES", "one", "is 'one'.", f"{NUMBER} 0 to 100."),
        ("PLEIN_AIR_MCP", "maybe", "is 'maybe'.", SWITCH),
        ("PLEIN_AIR_HOSTS", "https://a.example", "is 'https://a.example'.", NAMES),
        ("PLEIN_AIR_HOSTS", "a.example:7860", "is 'a.example:7860'.", NAMES),
    ],
)
def test_a_value_that_can_not_be_used_is_named(
    variable: str, value: str, said: str, hint: str
) -> None:
    with pytest.raises(StudioError) as caught:
        Settings.from_environment({variable: value})
    assert (caught.value.message, caught.value.hint) == (f"{variable} {said}", hint)


def test_the_documented_variables_are_the_settings() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    fields = Settings.model_fields.values()
    assert sorted(documented) == sorted(["GOMP_SPINCOUNT", *(str(field.alias) for field in fields)])
    assert all(field.description for field in fields)


def test_only_from_environment_reads_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLEIN_AIR_THREADS", "3")
    monkeypatch.setenv("threads", "4")  # a field's name is no variable
    assert Settings().threads == 0
    assert Settings.from_environment().threads == 3


def test_a_setting_can_not_be_changed_or_misspelt() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().threads = 2
    with pytest.raises(ValidationError, match="thread_count"):
        Settings(thread_count=2)  # type: ignore[call-arg]


def test_only_the_settings_read_the_environment() -> None:
    for path in (ROOT / "app").rglob("*.py"):
        if path.name != "settings.py":
            assert "os.environ" not in path.read_text(encoding="utf-8"), path
