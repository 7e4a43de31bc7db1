"""The laboratories' public API: typed calls with names, for gradio_client and curl.

A picture is a file that the caller uploads (`handle_file`); `fit` says how it becomes a square.
Timesteps are the paper's, 0 (clean) to T.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import gradio as gr
from gradio.events import api
from pydantic_core import to_json

from app.service.laboratory.experiment import Experiment, Source
from app.service.laboratory.experiments import Chain, Denoising, Inspection, Noising
from app.service.laboratory.films import FilmResult
from app.service.laboratory.forward import NoisedMoment
from app.service.laboratory.statistics import Sample
from app.service.recipe import Recipe
from app.service.studio import Studio
from app.service.uploads import read_picture, square
from app.ui.faults import said
from app.ui.files import saved_file, uploaded

Json = dict[str, Any]

ETA: Final = 1.0
"""As DDPM, unless a caller says otherwise: variations then differ."""


def add_noise_api(studio: Studio, network: str) -> None:
    """Add the endpoints of the Noise laboratory; those that run a network join its group."""
    lab, default = studio.noise_lab, studio.settings.default_model

    def noise_strip(
        picture: gr.FileData,
        model: str = default,
        fit: str = "crop",
        moments: int = 10,
        seed: int = 0,
        fresh: bool = False,
        schedule: str | None = None,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
    ) -> tuple[gr.FileData, gr.FileData, list[Json]]:
        """Noise a picture step by step: a film strip, an animation, the statistics of every x_t."""
        what = _start(studio, picture, model, fit, seed)
        own = _schedule(schedule, beta_start, beta_end)
        wish = Noising.checked(what | {"schedule": own, "moments": moments, "fresh": fresh})
        strip = lab.strip(wish)
        return (
            saved_file(f"{strip.name}.png", strip.png()),
            saved_file(f"{strip.name}.gif", strip.animation("gif")),
            [_moment(moment) for moment in strip.moments],
        )

    def noise_schedules(
        picture: gr.FileData,
        model: str = default,
        fit: str = "crop",
        schedule: str | None = None,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
    ) -> list[Json]:
        """Compare the noise schedules: beta, alpha_bar and log SNR over t, and L_T in bits/dim."""
        what = _start(studio, picture, model, fit, 0)
        wish = Noising.checked(what | {"schedule": _schedule(schedule, beta_start, beta_end)})
        return [plain(c) for c in lab.schedules(wish.model, wish.source, wish.schedule)]

    def noise_chain(
        picture: gr.FileData,
        t: int = 250,
        model: str = default,
        fit: str = "crop",
        seed: int = 0,
        schedule: str | None = None,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
    ) -> tuple[gr.FileData, Json]:
        """Draw x_t by t single steps and at once: both pictures, and the statistics of each."""
        what = _start(studio, picture, model, fit, seed)
        own = _schedule(schedule, beta_start, beta_end)
        found = lab.chain(Chain.checked(what | {"schedule": own, "t": t}))
        numbers = {
            "alpha_bar": found.signal,
            "expected_std": found.expected_std,
            "chain": _statistics(found.chain),
            "closed": _statistics(found.closed),
        }
        return saved_file(f"{model}-chain-{t}.png", found.png()), numbers

    def noise_posterior(
        picture: gr.FileData,
        t: int = 250,
        model: str = default,
        fit: str = "crop",
        seed: int = 0,
        clip: bool = True,
        precision: str = "exact",
        label: int | None = None,
    ) -> tuple[gr.FileData, Json]:
        """Inspect the posterior of one step beside the model's: pictures and coefficients."""
        what = _start(studio, picture, model, fit, seed)
        how = {"t": t, "clip": clip, "precision": precision, "label": label}
        view = lab.inspect(Inspection.checked(what | how))
        names = (
            *("coefficient_x_0", "coefficient_x_t", "beta_tilde", "beta"),
            *("difference_scale", "difference_rms"),
        )
        numbers = {name: getattr(view, name) for name in names}
        return saved_file(f"{model}-posterior-{t}.png", view.png()), numbers

    def denoise(
        picture: gr.FileData,
        t: int = 500,
        model: str = default,
        fit: str = "crop",
        sampler: str = "ddpm",
        steps: int = 150,
        eta: float = ETA,
        seed: int = 0,
        variations: int = 1,
        precision: str = "exact",
        label: int | None = None,
    ) -> tuple[list[gr.FileData], list[Json]]:
        """Noise a picture to t and denoise it from there: PNG files and their experiments."""
        run = run_of(model, sampler, steps, eta, seed, variations, precision, label)
        wish = {"run": run, "source": source_of(studio, picture, model, fit), "t": t, "seed": seed}
        return films(lab.results(lab.complete(Denoising.checked(wish))))

    for endpoint in (noise_strip, noise_schedules, noise_chain):
        api(said(endpoint), api_name=endpoint.__name__)
    for running in (noise_posterior, denoise):
        api(said(running), api_name=running.__name__, concurrency_id=network)


def source_of(studio: Studio, picture: gr.FileData, model: str, fit: str) -> Source:
    """An uploaded picture as `model` will see it."""
    size = studio.models.describe(model).size
    how: Any = fit  # `square` refuses what is neither crop nor squash
    return Source.of(square(read_picture(uploaded(picture)), size, how))


def run_of(
    model: str,
    sampler: str,
    steps: int,
    eta: float,
    seed: int,
    pictures: int,
    precision: str,
    label: int | None,
) -> Recipe:
    """The reverse process that a call asks for."""
    return Recipe.checked(
        {
            "model": model,
            "sampler": sampler,
            "steps": steps,
            "eta": eta,
            "seed": seed,
            "pictures": pictures,
            "precision": precision,
            "label": label,
        }
    )


def films(results: Sequence[FilmResult]) -> tuple[list[gr.FileData], list[Json]]:
    """Finished pictures as files, and what it takes to paint each again."""
    files = [saved_file(f"{result.name}.png", result.png()) for result in results]
    return files, [described(result.experiment) for result in results]


def described(experiment: Experiment) -> Json:
    """An experiment as JSON."""
    return experiment.model_dump(mode="json", exclude_none=True)


def plain(value: Any) -> Any:
    """A dataclass of the service as JSON; what is infinite becomes null."""
    return json.loads(to_json(value, inf_nan_mode="null"))


def _start(studio: Studio, picture: gr.FileData, model: str, fit: str, seed: int) -> Json:
    return {"model": model, "source": source_of(studio, picture, model, fit), "seed": seed}


def _schedule(name: str | None, beta_start: float, beta_end: float) -> Json | None:
    return {"name": name, "beta_start": beta_start, "beta_end": beta_end} if name else None


def _moment(moment: NoisedMoment) -> Json:
    where = {"t": moment.t, "alpha_bar": moment.signal, "snr_db": moment.snr_db}
    return dict(plain(where)) | _statistics(moment.sample)


def _statistics(sample: Sample) -> Json:
    return {"mean": sample.mean, "std": sample.std, "correlation": sample.correlation}
