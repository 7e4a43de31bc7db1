"""Each check of the preflight finds what is broken, names it, and says what to do."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import huggingface_hub
import pytest

from app.cli import preflight
from app.cli.preflight import (
    LARGE,
    ZERO_GPU_TORCH,
    Finding,
    check_front_matter,
    check_imports,
    check_requirements,
    check_sizes,
    find_python,
)
from app.settings import ROOT
from tests.hub.stand_in import StandIn, stand_in_hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a Space needs, without the models and the code."""
    for name in ("README.md", "requirements.txt", "LICENSE", "app.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def said(findings: tuple[Finding, ...]) -> str:
    assert all(finding.ok or finding.hint for finding in findings)
    return "\n".join(finding.said for finding in findings if not finding.ok)


def test_this_repository_is_ready() -> None:
    for check in (check_front_matter, check_requirements, check_sizes):
        assert said(check(ROOT)) == ""
    (sizes,) = check_sizes(ROOT)
    assert "models/impressionist-64/unet/diffusion_pytorch_model.safetensors (24 MB)" in sizes.said
    assert "hf upload" in sizes.hint


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("sdk: gradio", "sdk: gradient", "sdk is 'gradient'"),
        ("sdk_version: 6.31.0", "sdk_version: 6.31", "sdk_version is 6.31"),
        ("sdk_version: 6.31.0", "sdk_version: 5.0.1", "outside requirements.txt's gradio"),
        ("sdk_version: 6.31.0", "sdk_version: 6.99.0", f"{version('gradio')} is installed"),
        ('python_version: "3.12"', "python_version: 3.12", "python_version is 3.12"),
        ('python_version: "3.12"', 'python_version: "3.10"', "python_version is 3.10"),
        ('python_version: "3.12"', 'python_version: "3.13"', "which ZeroGPU has not"),
        ("app_file: app.py", "app_file: page.py", "page.py isn't there"),
        ("suggested_hardware: cpu-basic", "suggested_hardware: gpu", "is 'gpu'"),
        ("startup_duration_timeout: 30m", "startup_duration_timeout: soon", "is 'soon'"),
        ("hf_oauth: true", "hf_oauth: false", "hf_oauth isn't true"),
        ("  - contribute-repos", "  - contribute", "hf_oauth_scopes is ['contribute']"),
        ("  - contribute-repos", "  - read-repos", "lacks contribute-repos"),
        ("license: apache-2.0\n", "", "license is missing"),
        ("title: Plein Air\n", "", "title is missing"),
        ("colorFrom: blue", "colorFrom: teal", "colorFrom is 'teal'"),
        ("short_description: Paint", "short_description: Paint and paint again", "characters"),
        ("title: Plein Air", "title: [Plein", "no YAML"),
        ("---\ntitle", "title", "README.md has none"),
    ],
)
def test_a_broken_front_matter_is_named(folder: Path, old: str, new: str, fault: str) -> None:
    assert said(check_front_matter(folder)) == ""
    change(folder / "README.md", old, new)
    assert fault in said(check_front_matter(folder))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with stand_in_hub() as served:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", served.url)
        yield served
    huggingface_hub.close_session()


def test_the_hub_itself_refuses_a_field_if_it_is_asked(folder: Path, hub: StandIn) -> None:
    hub.refused_fields = {"space": {"short_words", "titel"}, "model": {"title"}}
    (agreed,) = check_front_matter(folder, online=True)
    assert agreed.ok
    assert agreed.said.endswith("and the Hub takes it")
    assert hub.requests == ["POST /api/validate-yaml"]
    change(folder / "README.md", "short_description", "short_words")
    change(folder / "README.md", "license:", "titel: Plein Air\nlicense:")
    refused = check_front_matter(folder, online=True)
    assert [(each.ok, each.said) for each in refused] == [
        (False, 'the Hub refuses it: "titel" is not allowed'),
        (False, 'the Hub refuses it: "short_words" is not allowed'),
    ]
    assert "reference" in refused[0].hint


def test_nobody_asks_the_hub_unless_told_to(folder: Path, hub: StandIn) -> None:
    change(folder / "README.md", "short_description", "short_words")
    assert said(check_front_matter(folder)) == ""
    assert hub.requests == []


def test_a_hub_that_fails_is_told_from_one_that_is_not_there(
    folder: Path, hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.failing = True
    assert "answers with an error (500)" in said(check_front_matter(folder, online=True))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    (away,) = check_front_matter(folder, online=True)
    assert (away.ok, away.said) == (False, "the Hub can't be asked")
    assert "leave out --online" in away.hint
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert check_front_matter(folder, online=True) == (away,)


@pytest.mark.parametrize("name", ["README.md", "app.py", "LICENSE"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert said(check_front_matter(folder))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("torch>=2.8,<3", "torch>=2.9,<3", "leaves out 2.8, which ZeroGPU lists"),
        ("torch>=2.8,<3", "torch==2.13.0", "torch==2.13.0 is no range"),
        ("torch>=2.8,<3", "torch>=2.8", "is no range"),
        ("torch>=2.8,<3\n", "", "torch is missing"),
        ("pillow>=11,<13", "pillow>=2,<3", f"leaves out {version('pillow')}, which is tested here"),
        ("pillow>=11,<13", "pillow>>11", "'pillow>>11' is no requirement"),
        ("pillow>=11,<13", "no-such-pillow>=1,<2", "no-such-pillow isn't installed"),
        ("pillow>=11,<13", "spaces>=0.40,<1", "spaces is named"),
    ],
)
def test_a_requirement_that_a_space_can_not_fill_is_named(
    folder: Path, old: str, new: str, fault: str
) -> None:
    assert said(check_requirements(folder)) == ""
    change(folder / "requirements.txt", old, new)
    assert fault in said(check_requirements(folder))


def test_the_torch_versions_of_zero_gpu_are_told(folder: Path) -> None:
    (finding,) = check_requirements(folder)
    assert all(each in finding.said for each in ZERO_GPU_TORCH)
    (folder / "requirements.txt").unlink()
    assert "no requirements.txt" in said(check_requirements(folder))


def test_a_large_file_is_told_with_the_command_and_a_pointer_to_one_refused(folder: Path) -> None:
    (small,) = check_sizes(folder)
    assert (small.ok, small.hint) == (True, "")
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(LARGE + 1)
    (large,) = check_sizes(folder)
    assert large.ok
    assert "weights.bin (10 MB)" in large.said
    assert "hf upload OWNER/plein-air . . --type space" in large.hint

    (folder / "weights.bin").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    )
    assert "weights.bin is only a pointer" in said(check_sizes(folder))


def test_a_repository_too_large_for_a_space_is_refused(folder: Path) -> None:
    with (folder / "everything.bin").open("wb") as file:
        file.truncate(1_100_000_000)
    assert "1.1 GB together" in said(check_sizes(folder))


def test_files_that_git_does_not_know_are_not_sent(folder: Path) -> None:
    git = ["git", "-C", str(folder)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "README.md"], check=True)
    with (folder / "scratch.bin").open("wb") as file:
        file.truncate(LARGE + 1)
    (finding,) = check_sizes(folder)
    assert finding.said.startswith("1 files")


def test_a_machine_without_git_is_told_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    (finding,) = check_sizes(folder)
    assert (finding.ok, finding.said) == (False, "git isn't there")
    assert "Put git on the PATH" in finding.hint


@pytest.mark.slow
def test_what_can_not_be_imported_in_a_new_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "find_python", lambda: ([sys.executable], "Python 3.12.0"))
    (tmp_path / "requirements.txt").write_text("")
    package = tmp_path / "app"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "painting.py").write_text("import json\n")
    good = check_imports(tmp_path)
    assert (good.ok, good.said) == (True, "Python 3.12.0: 1 modules")
    # Installed here, but not there.
    (package / "painting.py").write_text("import torch\n")
    bad = check_imports(tmp_path)
    assert not bad.ok
    assert "No module named 'torch'" in bad.said


@pytest.mark.slow
def test_what_can_not_be_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "find_python", lambda: ([sys.executable], "Python 3.11.0"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    (tmp_path / "requirements.txt").write_text("no-such-pillow>=1,<2\n")
    finding = check_imports(tmp_path)
    assert not finding.ok
    assert "no-such-pillow" in finding.said
    assert "pip install" in finding.hint


def test_the_python_that_a_space_has_is_taken_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_python()[0] == [sys.executable]
    twelve = tmp_path / "python3.12"
    twelve.write_text("#!/bin/sh\necho 3.12.99\n")
    twelve.chmod(0o755)
    assert find_python() == (["python3.12"], "Python 3.12.99")
    # pyenv leaves such a file where the version isn't chosen.
    twelve.write_text("#!/bin/sh\nexit 127\n")
    assert find_python()[0] == [sys.executable]
