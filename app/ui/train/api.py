"""The public API of training; a cookie tells whose a training is, as it does for a browser."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr

from app.datasets.uploads import PictureSet
from app.errors import JobError
from app.images.reading import FITS
from app.jobs.plan import TrainingPlan
from app.studio import Studio
from app.ui.endpoints import arguments as arg
from app.ui.endpoints.arguments import Json
from app.ui.endpoints.endpoint import expose
from app.ui.endpoints.experiments import plain
from app.ui.endpoints.files import saved_file, served_file
from app.ui.middleware import asker
from app.ui.train.download import curves_file, model_zip
from app.ui.train.pictures import called_files, discard_all


def add_train_api(studio: Studio, _: str) -> None:
    """Add the endpoints of the Train tab; none of them runs a network here."""
    _add_picture_api(studio)
    _add_training_api(studio)
    _add_changing_api(studio)


def _add_picture_api(studio: Studio) -> None:
    sets = studio.workshop.sets

    def upload_pictures(
        files: arg.Files, fit: arg.Fit = "crop", labels: arg.Classes = False
    ) -> Json:
        """Upload pictures to train on; the files are removed once they are a set.

        Returns:
            pictures: The set's id, its pictures' names, its classes, and what was skipped and why.
        """
        if fit not in FITS:
            raise JobError(f"There is no way {fit!r} to square.", "Choose crop or squash.")
        uploads = called_files(files)
        added = sets.add(asker(studio.settings), uploads, fit, labels=labels is True)
        discard_all(uploads)
        return _set(added)

    def picture_sets() -> list[Json]:
        """List the sets of pictures that the caller uploaded.

        Returns:
            sets: As `upload_pictures` returned each.
        """
        return [_set(found) for found in sets.list(asker(studio.settings))]

    def delete_pictures(set_id: arg.Set) -> None:
        """Let go of a set of pictures; trainings that were started with it keep theirs."""
        owner = asker(studio.settings)
        sets.release(sets.show(owner, set_id).id, owner)

    expose(upload_pictures, concurrency_id="upload")
    _add(picture_sets, delete_pictures)


def _add_training_api(studio: Studio) -> None:
    workshop, default = studio.workshop, studio.settings.default_model

    def start_training(
        set_id: arg.Set,
        name: arg.Name = "a training",
        model: arg.Model = default,
        preset: arg.Preset = "taste",
        changes: arg.Changes = None,
    ) -> Json:
        """Start a training: a model goes on learning from a set of pictures.

        Returns:
            training: Its id, name, state, steps, speed and time left.
        """
        owner = asker(studio.settings)
        pictures = workshop.sets.show(owner, set_id)
        plan = TrainingPlan.preset(preset, len(pictures)).changed(changes or {})
        return asdict(workshop.start(owner, model, pictures.id, plan, name))

    def trainings() -> list[Json]:
        """List the caller's trainings, the newest first.

        Returns:
            trainings: Of each its id, name, state, steps, speed, time left and `model_steps`.
        """
        return [asdict(job) for job in workshop.jobs.list(asker(studio.settings))]

    def training(job: arg.Job) -> Json:
        """Look at one training.

        Returns:
            training: As `trainings` lists it, with curves, steps of samples, settings and log.
        """
        owner, jobs = asker(studio.settings), workshop.jobs
        return asdict(jobs.show(owner, job)) | {
            "curves": plain(jobs.curves(owner, job)),
            "samples": [sample.step for sample in jobs.samples(owner, job)],
            "settings": jobs.config(owner, job).model_dump(
                mode="json", exclude={"data", "init", "labels"}
            ),
            "log": jobs.log(owner, job),
        }

    def training_samples(job: arg.Job) -> list[gr.FileData]:
        """Fetch the pictures that a training painted on its way.

        Returns:
            files: A PNG grid each, the oldest first, named by its step.
        """
        found = workshop.jobs.samples(asker(studio.settings), job)
        return [saved_file(f"step-{s.step:08d}.png", s.path.read_bytes()) for s in found]

    def training_model(job: arg.Job, step: arg.ModelStep = None) -> gr.FileData:
        """Fetch a training's model.

        Returns:
            file: A zip of a folder that diffusers' DDPMPipeline.from_pretrained opens.
        """
        if step is not None and type(step) is not int:
            raise JobError("step is no whole number.", "Give one of the training's model_steps.")
        return served_file(model_zip(workshop.jobs, asker(studio.settings), job, step))

    def training_curves(job: arg.Job) -> gr.FileData:
        """Fetch a training's curves.

        Returns:
            file: A CSV: a row a step, with its loss, its speed and what was measured after it.
        """
        return served_file(curves_file(workshop.jobs, asker(studio.settings), job))

    _add(start_training, trainings, training, training_samples, training_model, training_curves)


def _add_changing_api(studio: Studio) -> None:
    workshop = studio.workshop

    def stop_training(job: arg.Job) -> Json:
        """Stop a training; it ends its step and saves, and is "saving" until then.

        Returns:
            training: As `trainings` lists it.
        """
        return asdict(workshop.jobs.stop(asker(studio.settings), job))

    def resume_training(job: arg.Job) -> Json:
        """Go on with a training that was stopped or failed.

        Returns:
            training: As `trainings` lists it.
        """
        return asdict(workshop.jobs.resume(asker(studio.settings), job))

    def extend_training(job: arg.Job, steps: arg.MoreSteps = 1000) -> Json:
        """Make an ended training longer, and go on with it.

        Returns:
            training: As `trainings` lists it.
        """
        if type(steps) is not int:
            raise JobError("steps is no whole number.", "Give one.")
        extended = workshop.jobs.extend(asker(studio.settings), job, steps)
        workshop.jobs.tend()
        return asdict(extended)

    def rename_training(job: arg.Job, name: arg.Name) -> Json:
        """Call a training something else.

        Returns:
            training: As `trainings` lists it.
        """
        return asdict(workshop.jobs.rename(asker(studio.settings), job, str(name)))

    def keep_training(job: arg.Job) -> Json:
        """Keep a training: it is never offered for deletion.

        Returns:
            training: As `trainings` lists it.
        """
        return asdict(workshop.jobs.keep(asker(studio.settings), job))

    def unkeep_training(job: arg.Job) -> Json:
        """Let a training that was kept be offered for deletion again.

        Returns:
            training: As `trainings` lists it.
        """
        return asdict(workshop.jobs.keep(asker(studio.settings), job, kept=False))

    def delete_training(job: arg.Job) -> None:
        """Remove an ended training, its checkpoints and its models."""
        workshop.jobs.delete(asker(studio.settings), job)

    _add(stop_training, resume_training, extend_training, rename_training)
    _add(keep_training, unkeep_training, delete_training)


def _add(*endpoints: Callable[..., Any]) -> None:
    for endpoint in endpoints:
        expose(endpoint, concurrency_id="light")


def _set(found: PictureSet) -> Json:
    return {
        "id": found.id,
        "pictures": list(found.names),
        "fit": found.fit,
        "labels": list(found.labels),
        "skipped": [list(pair) for pair in found.skipped],
    }
