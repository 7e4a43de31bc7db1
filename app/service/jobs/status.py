"""Where a job is: told from the engine's store, the locks of living processes, the run's files."""

from app.service.jobs.curves import last_step
from app.service.jobs.engine import Task, TaskStatus
from app.service.jobs.job import Job, State
from app.service.jobs.record import JobFolder, Record, is_locked
from app.service.jobs.result import MODEL, model_steps
from app.service.jobs.trainer import Ending


def job_of(folder: JobFolder, record: Record, task: Task | None, workers: frozenset[str]) -> Job:
    """The job in `folder`, of which the engine knows `task`, while `workers` live."""
    state = _state(folder, task, workers)
    last = last_step(folder.metrics)
    step = last["step"] if last else 0
    speed = last["pictures_per_second"] if last else 0.0
    left = None
    if last and state is State.RUNNING and speed > 0:
        left = (record.total_steps - step) * last["views"] / step / speed
    message, hint = "", ""
    if state is State.FAILED:
        message, hint = "The worker failed.", "Resume the job; its log may say more."
        if task is not None and len(task.result) == 3:
            _, message, hint = task.result
    return Job(
        id=record.id,
        name=record.name,
        base_model=record.base_model,
        set_id=record.set_id,
        created=record.created,
        state=state,
        step=step,
        total_steps=record.total_steps,
        saved_step=folder.saved_step() if (folder.run / MODEL).is_dir() else -1,
        pictures_per_second=speed,
        seconds_left=left,
        message=message,
        hint=hint,
        kept=record.kept,
        model_steps=model_steps(folder),
    )


def _state(folder: JobFolder, task: Task | None, workers: frozenset[str]) -> State:
    match task.status if task else None:
        case TaskStatus.WAITING:
            return State.QUEUED
        case TaskStatus.WORKING if task and task.worker in workers:
            return State.RUNNING
        case TaskStatus.WORKING | TaskStatus.CANCELLED if is_locked(folder.alive):
            return State.SAVING
        case TaskStatus.CANCELLED:
            return State.STOPPED
        case TaskStatus.FINISHED | TaskStatus.BROKEN:
            return State.DONE if task and task.result[:1] == (Ending.DONE,) else State.FAILED
        case _:
            return State.INTERRUPTED
