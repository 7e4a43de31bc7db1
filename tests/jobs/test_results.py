"""A job's model is its owner's, and may be the base of another job."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import StudioError
from app.jobs.job import JobState
from app.jobs.record import JobFolder, Record
from app.owners import owner_hash
from app.settings import Settings
from app.studio import OwnModels
from tests.conftest import save_tiny_model
from tests.jobs.conftest import OWNER, PLAN, Bench

ID = "0123456789abcdef"


@pytest.fixture
def models(tmp_path: Path) -> OwnModels:
    """The models of a data folder with one job, whose model was saved at step 7."""
    folder = JobFolder(tmp_path / "data" / "jobs" / ID)
    saved = folder.run / "exports" / "00000007"
    saved.parent.mkdir(parents=True)
    save_tiny_model(saved)
    (folder.run / "model").symlink_to(saved)
    folder.write(Record(ID, owner_hash(OWNER), "garden", "tiny", "set", 7, 1, 0.0))
    return OwnModels(Settings(data_dir=tmp_path / "data", device="cpu", single_user=False))


def test_an_owner_finds_their_model_and_nobody_else_does(models: OwnModels) -> None:
    models.asks = lambda: OWNER
    assert models.list()[-1].summary.startswith("garden, step 7 · 16 px")
    assert models.describe(f"{ID}-7").name == "garden, step 7"
    assert models.load(f"{ID}-7").info.size == 16
    for somebody in ("somebody else", ""):
        models.asks = lambda somebody=somebody: somebody  # type: ignore[misc]
        assert models.own() == ()
        for act in (models.find, models.describe, models.load):
            with pytest.raises(StudioError, match="no model"):
                act(f"{ID}-7")


def test_an_earlier_model_leads_to_the_newer(models: OwnModels) -> None:
    models.asks = lambda: OWNER
    with pytest.raises(StudioError, match="newer model") as caught:
        models.find(f"{ID}-6")
    assert f"{ID}-7" in caught.value.hint


def test_an_earlier_kept_model_is_found_by_its_step_but_not_listed(
    models: OwnModels, tmp_path: Path
) -> None:
    models.asks = lambda: OWNER
    save_tiny_model(tmp_path / "data" / "jobs" / ID / "run" / "exports" / "00000003")
    assert models.describe(f"{ID}-3").name == "garden, step 3"
    assert models.load(f"{ID}-3").folder.name == "00000003"
    assert models.shelf.ids == (f"{ID}-3",)
    assert [info.id for info in models.own()] == [f"{ID}-7"]
    with pytest.raises(StudioError, match="newer model"):
        models.find(f"{ID}-5")
    models.asks = lambda: "somebody else"
    for act in (models.find, models.describe, models.load):
        with pytest.raises(StudioError, match="no model"):
            act(f"{ID}-3")


def test_a_name_is_never_a_path(models: OwnModels) -> None:
    models.asks = lambda: OWNER
    for name in (f"../{ID}-7", f"{ID}/../{ID}-7", f"{ID}-", f"{ID}-7/.."):
        with pytest.raises(StudioError, match="no model"):
            models.find(name)
    with pytest.raises(StudioError, match="newer model"):
        models.find(f"{ID}-00000007")


@pytest.mark.slow
def test_a_job_may_begin_with_a_model_of_another(bench: Bench) -> None:
    first = bench.start(replace(PLAN, steps=10, sample_every=0), "first")
    bench.worker()
    bench.until_state(first, JobState.DONE)
    models = OwnModels(bench.settings)
    models.asks = lambda: OWNER
    bench.jobs._models = models
    plan = replace(PLAN, steps=10, sample_every=0)
    base = f"{first.id}-10"
    second = bench.jobs.start(OWNER, base, bench.pictures.id, plan, "second")
    assert JobFolder(bench.folder(second)).read().root_model == "tiny"
    bench.jobs.delete(OWNER, first.id)
    done = bench.until_state(second, JobState.DONE, JobState.FAILED)
    assert (done.state, done.base_model) == (JobState.DONE, base)
