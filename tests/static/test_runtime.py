"""onnxruntime-web's tarball: from a file, from the cache, from npm, and only the right one."""

import shutil
from pathlib import Path

import pytest

from app.errors import StudioError
from app.static import runtime as module
from app.static.runtime import ARCHIVE, FILES, runtime_archive, unpack


def test_the_page_gets_its_six_files(runtime: Path, tmp_path: Path) -> None:
    unpack(runtime, tmp_path / "runtime")
    assert {path.name for path in (tmp_path / "runtime").iterdir()} == set(FILES)
    assert all(path.stat().st_size > 10_000 for path in (tmp_path / "runtime").iterdir())


def test_the_cache_is_used_without_network(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(runtime, tmp_path / ARCHIVE)
    monkeypatch.setattr(module, "_fetched", lambda _: pytest.fail("it asked the network"))
    assert runtime_archive(cache=tmp_path) == tmp_path / ARCHIVE


def test_a_file_is_taken_as_it_is(runtime: Path, tmp_path: Path) -> None:
    given = tmp_path / "elsewhere.tgz"
    shutil.copy(runtime, given)
    assert runtime_archive(given, cache=tmp_path / "none") == given
    assert not (tmp_path / "none").exists()


def test_another_file_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "other.tgz"
    given.write_bytes(b"something else")
    with pytest.raises(StudioError, match="its hash is another"):
        runtime_archive(given)
    assert given.exists()


def test_what_npm_answers_is_checked_and_not_kept_where_it_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_fetched", lambda _: b"something else")
    with pytest.raises(StudioError, match="its hash is another"):
        runtime_archive(cache=tmp_path)
    assert not (tmp_path / ARCHIVE).exists()


def test_without_network_it_says_how_to_bring_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_registry", lambda: "http://127.0.0.1:9")
    with pytest.raises(StudioError, match="--runtime FILE"):
        runtime_archive(cache=tmp_path)
