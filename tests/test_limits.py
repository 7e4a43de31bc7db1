"""An open studio refuses what is too much for one visitor, and says how much is not."""

from dataclasses import asdict
from pathlib import Path

import pytest

from app.errors import LimitError
from app.jobs.plan import TrainingPlan
from app.laboratory.experiments import BoundRequest, Denoising, ForwardStrip, Grid, Mixing, Subject
from app.limits import MAX_VISITORS, OPEN, Limits, Visits
from app.painting.recipe import Recipe
from app.settings import Settings
from app.studio import Studio
from tests.laboratory.pictures import painted, run, upload


@pytest.fixture
def studio(model_root: Path, tmp_path: Path) -> Studio:
    return Studio(
        Settings(
            models_dir=model_root,
            data_dir=tmp_path,
            default_model="tiny",
            device="cpu",
            threads=1,
            single_user=False,
            picture_steps=20,
        )
    )


def test_who_is_alone_has_no_limits_unless_they_set_some() -> None:
    assert Limits.of(Settings()) == Limits()
    assert Limits.of(Settings(queue_length=3)) == Limits(queue_length=3)
    assert Limits.of(Settings(single_user=False)) == OPEN
    assert Limits.of(Settings(single_user=False, picture_steps=0)).picture_steps == 0
    assert Limits.of(Settings(single_user=False, jobs_per_visitor=3)).jobs_per_visitor == 3


def test_a_training_is_as_long_as_a_visitors_may_be() -> None:
    limits = Limits(training_views=100)
    limits.check_training(100, 300, 64)
    limits.check_training(25, 75, 128)
    with pytest.raises(LimitError, match=r"within 25,"):
        limits.check_training(26, 0, 128)
    with pytest.raises(LimitError, match="less often"):
        limits.check_training(1, 301, 64)
    Limits().check_training(10**9, 10**9, 64)


def test_trainings_are_as_many_as_may_wait() -> None:
    limits = Limits(jobs_per_visitor=2, job_queue_length=4)
    limits.check_jobs(1, 3)
    with pytest.raises(LimitError, match="2 trainings of yours wait or run already"):
        limits.check_jobs(2, 2)
    with pytest.raises(LimitError, match="4 trainings wait or run already"):
        limits.check_jobs(0, 4)
    Limits().check_jobs(1_000, 1_000)


@pytest.mark.parametrize("pictures", [24, 5_000])
def test_an_open_studio_gives_every_visitor_a_taste(pictures: int) -> None:
    plan = TrainingPlan.preset("taste", pictures)
    held_out = 5 * 128 * 3
    OPEN.check_training(plan.steps * plan.batch_size, 4 * 16 * 30 + held_out, 64)


def test_a_budget_counts_steps_pictures_and_pixels() -> None:
    limits = Limits(picture_steps=100)
    limits.check_work(25, 4, 64)
    limits.check_work(25, 1, 128)
    for steps, pictures, side in ((26, 4, 64), (26, 1, 128), (7, 1, 256)):
        with pytest.raises(LimitError):
            limits.check_work(steps, pictures, side)
    with pytest.raises(LimitError, match=r"within 6,") as caught:
        limits.check_work(7, 1, 256)
    limits.check_work(6, 1, 256)
    assert "256 px" in caught.value.message


def test_no_budget_allows_everything() -> None:
    Limits().check_work(1000, 16, 1024)


def test_paintings_and_laboratories_keep_within_the_budget(studio: Studio) -> None:
    # Of tiny, whose pictures have a sixteenth of the pixels, 320 picture steps.
    studio.painter.complete(Recipe(model="tiny", steps=80, pictures=4))
    with pytest.raises(LimitError):
        studio.painter.complete(Recipe(model="tiny", steps=81, pictures=4))
    noise = {"run": run(steps=1000, pictures=4), "source": upload(), "t": 1000}
    with pytest.raises(LimitError):
        studio.noise_lab.complete(Denoising.checked(noise))
    pair = {"run": run(steps=100), "first": upload(1), "second": upload(2)}
    with pytest.raises(LimitError):
        studio.mix_lab.complete(Grid.checked(pair | {"rows": (0, 500, 1000), "between": 8}))
    subjects = (Subject(source=upload(), name="upload"),)
    wish = {"model": "tiny", "subjects": subjects, "terms": 300, "draws": 2}
    with pytest.raises(LimitError):
        studio.bound_lab.complete(BoundRequest.checked(wish))


def test_a_guided_step_counts_twice(studio: Studio) -> None:
    def guided(steps: int, scale: float = 2.0) -> Recipe:
        return run(model="classes", label=0, steps=steps, pictures=4, guidance_scale=scale)

    studio.painter.complete(guided(80, 1.0))
    studio.painter.complete(guided(40))
    with pytest.raises(LimitError, match="41 guided steps") as caught:
        studio.painter.complete(guided(41))
    assert "within 10," in caught.value.hint
    noise = {"run": guided(41), "source": upload(), "t": 1000}
    with pytest.raises(LimitError):
        studio.noise_lab.complete(Denoising.checked(noise))
    pair = {"run": guided(41), "first": upload(1), "second": upload(2), "t": 1000}
    with pytest.raises(LimitError):
        studio.mix_lab.complete(Mixing.checked(pair))


def test_only_the_steps_in_guidances_interval_count_twice(studio: Studio) -> None:
    wish = {"steps": 50, "pictures": 4, "model": "classes", "label": 0, "guidance_scale": 2.0}
    interval = {"guidance_from": 800, "guidance_to": 220}
    studio.painter.complete(run(**wish | interval))  # 50 steps, of which 30 are guided
    with pytest.raises(LimitError, match="50 guided steps") as caught:
        studio.painter.complete(run(**wish | interval | {"guidance_to": 200}))
    assert "within 12," in caught.value.hint
    parent = run(**wish | interval)
    # Of the parent's first 25 steps 15 are guided: of 320 picture steps 160 are left.
    branch = {"steps": 25, "parent": parent.model_dump(), "frame": 25, "guidance_scale": 1.0}
    studio.painter.complete(run(**wish | branch | {"pictures": 6}))
    with pytest.raises(LimitError):
        studio.painter.complete(run(**wish | branch | {"pictures": 7}))


def test_a_source_that_has_to_be_painted_keeps_within_the_budget(studio: Studio) -> None:
    dear = painted(steps=100, pictures=16)
    with pytest.raises(LimitError):
        studio.noise_lab.picture("tiny", dear)
    with pytest.raises(LimitError):
        studio.noise_lab.strip(ForwardStrip(model="tiny", source=dear))


def test_branching_again_and_again_does_not_escape_the_budget(studio: Studio) -> None:
    # On the way back all of the parent's pictures are painted again.
    parent = Recipe(model="tiny", steps=160, pictures=2)
    studio.painter.complete(studio.painter.branch(parent, 159, 2, 7))
    wide = Recipe(model="tiny", steps=160, pictures=16)
    with pytest.raises(LimitError, match="1 steps with 1 pictures of 16 px, after 2,544 to reach"):
        studio.painter.complete(studio.painter.branch(wide, 159, 1, 7))
    again = studio.painter.branch(parent, 100, 2, 7)
    with pytest.raises(LimitError):
        studio.painter.complete(studio.painter.branch(again, 59, 3, 7))


def test_a_visitor_has_a_share_that_comes_back_with_time() -> None:
    now = [0.0]
    visits = Visits(3, lambda: now[0])
    assert [visits.seconds_to_wait("a") for _ in range(3)] == [0, 0, 0]
    assert visits.seconds_to_wait("a") == pytest.approx(20)
    assert visits.seconds_to_wait("b") == 0
    now[0] = 10
    assert visits.seconds_to_wait("a") == pytest.approx(10)
    now[0] = 20.001
    assert visits.seconds_to_wait("a") == 0
    assert visits.seconds_to_wait("a") > 0


def test_a_share_does_not_grow_beyond_a_minutes() -> None:
    now = [0.0]
    visits = Visits(2, lambda: now[0])
    visits.seconds_to_wait("a")
    now[0] = 3600
    assert [visits.seconds_to_wait("a") > 0 for _ in range(3)] == [False, False, True]


def test_the_visitor_seen_longest_ago_is_forgotten_first() -> None:
    visits = Visits(1, lambda: 0.0)
    for visitor in range(MAX_VISITORS):
        assert visits.seconds_to_wait(str(visitor)) == 0
    assert visits.seconds_to_wait("0") > 0
    assert visits.seconds_to_wait("new") == 0
    assert [visits.seconds_to_wait(v) > 0 for v in ("0", "2", "new", "1")] == [True] * 3 + [False]


def test_without_a_limit_nobody_waits() -> None:
    visits = Visits(0)
    assert all(visits.seconds_to_wait("a") == 0 for _ in range(1000))


def test_the_status_says_how_the_studio_is_and_nothing_of_who_asks(studio: Studio) -> None:
    before = studio.status(2)
    assert (before.model, before.queue_length, before.models_loaded) == ("tiny", 2, 0)
    assert before.process_mb > 0
    studio.models.load("tiny")
    after = studio.status(0)
    assert after.models_loaded == 1
    assert (before.network_steps, after.network_steps) == (0, 0)
    studio.painter.films.result(Recipe(model="tiny", steps=3))
    assert studio.status(0).network_steps == 3
    assert after.models_budget_mb > 0
    assert set(asdict(after)) == {
        *("version", "model", "uptime_seconds", "queue_length", "network_steps", "models_loaded"),
        *("models_mb", "models_budget_mb", "process_mb", "available_mb"),
    }
