"""Runs that start from some x_t, told to a player: denoised pictures and mixtures."""

from collections.abc import Callable, Generator, Iterator, Sequence

from app.errors import RecipeError
from app.service.laboratory.decoding import steps_from
from app.service.laboratory.experiments import Denoising, Mixing
from app.service.laboratory.films import Filmed, FilmResult
from app.service.laboratory.mix import MixLab
from app.service.laboratory.noise import NoiseLab
from app.service.models import ModelStore
from app.service.moments import Moment, Retrace
from app.ui.messages import Download, FinishedPicture, Message, RunMessages
from app.ui.player import PlayerEvent
from app.ui.sheets import data_uri
from app.ui.stream import failure, film_messages, summary

Told = tuple[Message, Filmed | None]
"""What the player is told, and the experiment once it is known."""


def tell(
    models: ModelStore, lab: NoiseLab | MixLab, wish: Callable[[], Filmed]
) -> Generator[Told, None, None]:
    """Run what is wished for a player; what goes wrong becomes a Failure."""
    try:
        experiment, stream, total = _begun(lab, wish())
        run = experiment.run
        info = models.describe(run.model)
        messages = RunMessages(
            title=title(experiment),
            pictures=run.pictures,
            tile=(info.size, info.size),
            steps=steps_from(run, experiment.t, info.num_train_timesteps),
            T=info.num_train_timesteps,
        )
        finished = lambda: [finished_picture(r) for r in results_of(lab, experiment)]  # noqa: E731
        for message in film_messages(messages, stream, total, finished):
            yield message, experiment
    except Exception as error:
        yield failure(error), None


def answer(lab: NoiseLab | MixLab, experiment: Filmed | None, event: PlayerEvent) -> Message:
    """What the player's buttons ask for: an animation or a strip of a finished run."""
    try:
        if experiment is None or not 0 <= event.picture < experiment.run.pictures:
            raise RecipeError("That run isn't kept any more.", "Run it again.")
        if event.action == "branch":
            raise RecipeError("A run from x_t has no branches.", "Run it from another t.")
        result = results_of(lab, experiment)[event.picture]
        if event.file_type == "strip":
            return Download(f"{result.name}-strip.png", data_uri(result.strip(), "image/png"))
        form = event.format
        uri = data_uri(result.animation(form), f"image/{form}")
        return Download(f"{result.name}.{form}", uri)
    except Exception as error:
        return failure(error)


def title(experiment: Filmed) -> str:
    """The experiment in a short line."""
    if isinstance(experiment, Denoising):
        return f"denoised from t = {experiment.t} · {summary(experiment.run)}"
    rule = experiment.rule.replace("_", " ")
    return (
        f"mixed at t = {experiment.t}, lambda {experiment.mix:g}, {rule} · "
        f"{summary(experiment.run)}"
    )


def results_of(lab: NoiseLab | MixLab, experiment: Filmed) -> Sequence[FilmResult]:
    """The finished pictures of an experiment, which is run where it wasn't lately."""
    match lab, experiment:
        case NoiseLab(), Denoising():
            return lab.results(experiment)
        case MixLab(), Mixing():
            return lab.results(experiment)
        case _:
            raise ValueError("this laboratory doesn't run that experiment")


def _begun(lab: NoiseLab | MixLab, wish: Filmed) -> tuple[Filmed, Iterator[Moment | Retrace], int]:
    match lab, wish:
        case NoiseLab(), Denoising():
            denoising = lab.complete(wish)
            return denoising, lab.denoise(denoising), lab.network_steps(denoising)
        case MixLab(), Mixing():
            mixing = lab.complete(wish)
            return mixing, lab.mix(mixing), lab.network_steps(mixing)
        case _:
            raise ValueError("this laboratory doesn't run that experiment")


def finished_picture(result: FilmResult) -> FinishedPicture:
    """A result as the player's row of finished pictures shows it."""
    run = result.experiment.run
    return FinishedPicture(
        src=data_uri(result.png(), "image/png"),
        name=f"{result.name}.png",
        recipe=title(result.experiment),
        seed=run.seed + run.picture,
    )
