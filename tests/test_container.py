"""The container's files say what the settings know, and write where a container may."""

import re
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from app.settings import ROOT, Settings
from app.ui.middleware import STATUS

OTHERS = frozenset({"HF_HOME", "HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"})
"""What others than the settings read: the Hub's client, libraries, Python."""

COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name}\s+(.+)$", DOCKERFILE, re.MULTILINE)


def image_environment() -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(instructions("ENV"))))


@pytest.fixture
def compose() -> dict[str, Any]:
    """compose.yaml where no variable is set that has a default."""
    parsed: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", COMPOSE))
    return parsed


def test_every_variable_is_one_that_somebody_reads(compose: dict[str, Any]) -> None:
    known = {field.alias for field in Settings.model_fields.values()} | OTHERS
    assert set(image_environment()) <= known
    for service in ("page", "worker"):
        assert set(compose["services"][service]["environment"]) <= known


def test_the_images_environment_is_understood(compose: dict[str, Any]) -> None:
    environment = image_environment()
    image = Settings.from_environment(environment)
    assert (image.server_name, image.server_port) == ("0.0.0.0", 7860)
    assert not image.single_user
    given = compose["services"]["worker"]["environment"]
    address = given["DATABASE_URL"].replace("${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}", "x")
    together = Settings.from_environment(environment | given | {"DATABASE_URL": address})
    assert together.database_url == "postgresql://plein:x@database:5432/plein"
    assert together.data_dir == image.data_dir


def test_page_and_workers_on_one_machine_call_it_by_one_name(compose: dict[str, Any]) -> None:
    """By default, for each container's host name is another; a second machine has its own."""
    services = [compose["services"][name]["environment"] for name in ("page", "worker")]
    (name,) = {service["PLEIN_AIR_MACHINE"] for service in services}
    assert Settings.from_environment({"PLEIN_AIR_MACHINE": name}).machine_name == name
    assert f"${{PLEIN_AIR_MACHINE:-{name}}}" in COMPOSE


def test_only_the_data_volume_and_tmp_are_written(compose: dict[str, Any]) -> None:
    """The root is read-only: what is written has a volume, or is gone with the container."""
    (volume,) = instructions("VOLUME")
    environment = image_environment()
    for name in ("PLEIN_AIR_DATA", "HF_HOME"):
        path = PurePosixPath(environment[name])
        assert path == PurePosixPath(volume) or PurePosixPath(volume) in path.parents
    for name in ("page", "worker"):
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["volumes"] == [f"data:{volume}"]
        assert service["environment"]["HF_HOME"].startswith(volume)
        assert service["environment"]["HOME"] in service["tmpfs"]
    assert {"data", "database"} == set(compose["volumes"])


def test_nobody_is_root_and_the_code_is_not_theirs() -> None:
    (user,) = instructions("USER")
    assert any(f"--uid 1000 {user}" in line for line in instructions("RUN"))
    assert not any("--chown" in line for line in instructions("COPY"))


def test_health_is_asked_by_the_light_route() -> None:
    (check,) = instructions("HEALTHCHECK")
    assert STATUS in check
    assert "GRADIO_SERVER_PORT" in check


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in instructions("COPY"):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in allowed


def test_a_worker_has_the_time_to_save(compose: dict[str, Any]) -> None:
    """A trainer ends within 5 s of SIGTERM, its worker after it."""
    for name in ("page", "worker"):
        service = compose["services"][name]
        assert int(service["stop_grace_period"].removesuffix("s")) >= 15
    assert compose["services"]["worker"]["command"] == ["python", "-m", "app", "worker"]


def test_signals_reach_python_itself() -> None:
    (command,) = instructions("CMD")[-1:]
    assert command == '["python", "app.py"]'  # no shell, which would keep them to itself


def test_a_build_with_cuda_is_one_argument_away() -> None:
    (torch,) = instructions("ARG")
    assert torch.startswith("TORCH=")
    assert any("$TORCH" in line for line in instructions("RUN"))
    assert "TORCH" in COMPOSE
