"""The public API of the laboratory Noise, and what the laboratories' calls have in common."""

import io
import json
from collections.abc import Sequence
from typing import Any, Final

import gradio as gr
from PIL import Image
from pydantic_core import to_json

from app.service.laboratory.experiment import Experiment, Source
from app.service.laboratory.experiments import Chain, Denoising, Inspection, Noising
from app.service.laboratory.films import FilmResult
from app.service.laboratory.forward import NoisedMoment
from app.service.laboratory.statistics import Sample
from app.service.recipe import Recipe
from app.service.studio import Studio
from app.service.uploads import read_picture
from app.ui import arguments as arg
from app.ui.arguments import Json
from app.ui.endpoint import expose
from app.ui.files import saved_file, uploaded

ETA: Final = 1.0
"""As DDPM, unless a caller says otherwise: variations then differ."""


def add_noise_api(studio: Studio, network: str) -> None:
    """Add the endpoints of the Noise laboratory; those that run a network join its group."""
    lab, default = studio.noise_lab, studio.settings.default_model

    def model_view(
        picture: arg.Picture, model: arg.Model = default, fit: arg.Fit = "crop"
    ) -> gr.FileData:
        """Show a picture as a model sees it: square, of its size, grey where the model is.

        Returns:
            file: A PNG.
        """
        pixels = lab.picture(model, source_of(studio, picture, model, fit))
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "png")
        return saved_file(f"{model}-sees.png", buffer.getvalue())

    def noise_strip(
        picture: arg.Picture,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        moments: arg.Moments = 10,
        seed: arg.Seed = 0,
        fresh: arg.Fresh = False,
        schedule: arg.Schedule = None,
        beta_start: arg.BetaStart = 1e-4,
        beta_end: arg.BetaEnd = 0.02,
    ) -> tuple[gr.FileData, gr.FileData, list[Json]]:
        """Noise a picture step by step.

        Returns:
            strip: A PNG of all moments in a row, its experiment inside.
            animation: The same as a GIF.
            moments: t, alpha_bar, SNR in dB, mean, std and correlation with x_0 of every x_t.
        """
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
        picture: arg.Picture,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        schedule: arg.Schedule = None,
        beta_start: arg.BetaStart = 1e-4,
        beta_end: arg.BetaEnd = 0.02,
    ) -> list[Json]:
        """Compare the noise schedules.

        Returns:
            schedules: Of each t, beta, alpha_bar, log SNR, and the picture's L_T in bits/dim.
        """
        what = _start(studio, picture, model, fit, 0)
        wish = Noising.checked(what | {"schedule": _schedule(schedule, beta_start, beta_end)})
        return [plain(c) for c in lab.schedules(wish.model, wish.source, wish.schedule)]

    def noise_chain(
        picture: arg.Picture,
        t: arg.NoisedT = 250,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        seed: arg.Seed = 0,
        schedule: arg.Schedule = None,
        beta_start: arg.BetaStart = 1e-4,
        beta_end: arg.BetaEnd = 0.02,
    ) -> tuple[gr.FileData, Json]:
        """Draw x_t by t single steps of q, and at once by its closed form.

        Returns:
            file: A PNG of both.
            numbers: alpha_bar, the std to expect, and the statistics of either x_t.
        """
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
        picture: arg.Picture,
        t: arg.NoisedT = 250,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        seed: arg.Seed = 0,
        clip: arg.Clip = True,
        precision: arg.Precision = "exact",
        label: arg.Label = None,
    ) -> tuple[gr.FileData, Json]:
        """Inspect the posterior of one step beside the model's own step.

        Returns:
            file: A PNG of x_t, both means and their difference, the experiment inside.
            numbers: The posterior's coefficients and variances, and the difference's size.
        """
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
        picture: arg.Picture,
        t: arg.NoisedT = 500,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        sampler: arg.Sampler = "ddpm",
        steps: arg.ShareOfSteps = 150,
        eta: arg.Eta = ETA,
        seed: arg.Seed = 0,
        variations: arg.Count = 1,
        precision: arg.Precision = "exact",
        label: arg.Label = None,
    ) -> tuple[list[gr.FileData], list[Json]]:
        """Noise a picture to t, and denoise it from there.

        Returns:
            files: The PNG files, each with its experiment inside.
            experiments: All it takes to do each again.
        """
        run = run_of(model, sampler, steps, eta, seed, variations, precision, label)
        wish = {"run": run, "source": source_of(studio, picture, model, fit), "t": t, "seed": seed}
        return films(lab.results(lab.complete(Denoising.checked(wish))))

    for endpoint in (model_view, noise_strip, noise_schedules, noise_chain):
        expose(endpoint)
    for running in (noise_posterior, denoise):
        expose(running, concurrency_id=network)


def source_of(studio: Studio, picture: gr.FileData, model: str, fit: str) -> Source:
    """An uploaded picture as `model` will see it."""
    size = studio.models.describe(model).size
    how: Any = fit  # `square` refuses what is neither crop nor squash
    return Source.squared(read_picture(uploaded(picture)), size, how)


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
