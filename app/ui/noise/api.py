"""The public API of the laboratory Noise."""

from collections.abc import Mapping
from typing import Annotated, Any

import gradio as gr

from app.fields import Fields
from app.images.encoding import png_bytes
from app.laboratory import experiments as exp
from app.laboratory.noise import NoisedMoment, SampleStatistics
from app.painting.recipe import ENLARGING, Recipe
from app.studio import Studio
from app.ui.callers import Steps
from app.ui.endpoints import arguments as arg
from app.ui.endpoints.arguments import Json
from app.ui.endpoints.endpoint import expose
from app.ui.endpoints.experiments import VARIATIONS, asked, films, plain, shown, source_of, way_back
from app.ui.endpoints.files import saved_file


def add_noise_api(studio: Studio, network: str) -> None:
    """Add the endpoints of the Noise laboratory; those that run a network join its group."""
    lab, seen = studio.noise_lab, shown(studio)
    own = Fields(arg.Shown, ("schedule", "beta_start", "beta_end"))

    def model_view(picture: arg.Picture, **how: Annotated[Any, seen]) -> gr.FileData:
        """Show a picture as a model sees it: square, of its size, grey where the model is.

        Returns:
            file: A PNG.
        """
        pixels = lab.picture(how["model"], source_of(studio, picture, **how))
        return saved_file(f"{how['model']}-sees.png", png_bytes(pixels))

    def noise_strip(
        picture: arg.Picture,
        **how: Annotated[
            Any,
            seen,
            Fields(exp.ForwardStrip, ("moments", "seed", "fresh")),
            own,
            Fields(exp.ForwardStrip),
        ],
    ) -> tuple[gr.FileData, gr.FileData, list[Json]]:
        """Noise a picture step by step.

        Returns:
            strip: A PNG of all moments in a row, its experiment inside.
            animation: The same as a GIF.
            moments: t, alpha_bar, SNR in dB, mean, std and correlation with x_0 of every x_t.
        """
        wish = asked(studio, exp.ForwardStrip, _scheduled(how), picture)
        strip = lab.strip(wish)
        return (
            saved_file(f"{strip.name}.png", strip.png()),
            saved_file(f"{strip.name}.gif", strip.animation("gif")),
            [_moment(moment) for moment in strip.moments],
        )

    def noise_schedules(picture: arg.Picture, **how: Annotated[Any, seen, own]) -> list[Json]:
        """Compare the noise schedules.

        Returns:
            schedules: Of each t, beta, alpha_bar, log SNR, and the picture's L_T in bits/dim.
        """
        wish = asked(studio, exp.ForwardStrip, _scheduled(how), picture)
        return [plain(c) for c in lab.schedules(wish.model, wish.source, wish.schedule)]

    def noise_chain(
        picture: arg.Picture,
        **how: Annotated[
            Any,
            Fields(exp.Chain, ("t",)),
            seen,
            Fields(exp.Chain, ("seed",)),
            own,
            Fields(exp.Chain),
        ],
    ) -> tuple[gr.FileData, Json]:
        """Draw x_t by t single steps of q, and at once by its closed form.

        Returns:
            file: A PNG of both.
            numbers: alpha_bar, the std to expect, and the statistics of either x_t.
        """
        wish = asked(studio, exp.Chain, _scheduled(how), picture)
        found = lab.chain(wish)
        numbers = {
            "alpha_bar": found.signal,
            "expected_std": found.expected_std,
            "chain": _statistics(found.chain),
            "closed": _statistics(found.closed),
        }
        return saved_file(f"{wish.model}-chain-{wish.t}.png", found.png()), numbers

    def noise_posterior(
        picture: arg.Picture,
        **how: Annotated[
            Any,
            Fields(exp.PosteriorStep, ("t",)),
            seen,
            Fields(exp.PosteriorStep),
        ],
    ) -> tuple[gr.FileData, Json]:
        """Inspect the posterior of one step beside the model's own step.

        Returns:
            file: A PNG of x_t, both means and their difference, the experiment inside.
            numbers: The posterior's coefficients and variances, and the difference's size.
        """
        wish = asked(studio, exp.PosteriorStep, how, picture)
        view = lab.inspect(wish)
        names = (
            *("coefficient_x_0", "coefficient_x_t", "beta_tilde", "beta"),
            *("difference_scale", "difference_rms"),
        )
        numbers = {name: getattr(view, name) for name in names}
        return saved_file(f"{wish.model}-posterior-{wish.t}.png", view.png()), numbers

    def denoise(
        picture: arg.Picture,
        **how: Annotated[
            Any, Fields(exp.Denoising, ("t",)), seen, way_back(), Fields(exp.Denoising)
        ],
    ) -> Steps[tuple[list[gr.FileData], list[Json]]]:
        """Noise a picture to t, and denoise it from there.

        Returns:
            files: The PNG files, each with its experiment inside.
            experiments: All it takes to do each again.
        """
        denoising = asked(studio, exp.Denoising, how, picture)
        return films((yield from lab.films.picture_steps(lab.complete(denoising))))

    def enlarge(
        picture: arg.Picture,
        **how: Annotated[Any, seen, Fields(Recipe, ENLARGING, renamed=VARIATIONS)],
    ) -> Steps[tuple[list[gr.FileData], list[Json]]]:
        """Bring a picture to a model's side, and paint it anew at four times that.

        Returns:
            files: The PNG files, each with its experiment inside.
            experiments: All it takes to do each again.
        """
        info = studio.models.describe(how["model"])
        source = source_of(studio, picture, info.id, how["fit"])
        enlarging = exp.Denoising.enlarging(how, source, info)
        return films((yield from lab.films.picture_steps(lab.complete(enlarging))))

    for endpoint in (model_view, noise_strip, noise_schedules, noise_chain):
        expose(endpoint)
    for running in (noise_posterior, denoise, enlarge):
        expose(running, concurrency_id=network)


def _scheduled(how: Mapping[str, Any]) -> Json:
    """Put the three arguments of a call's own schedule together, if it has one."""
    name, start, end = how["schedule"], how["beta_start"], how["beta_end"]
    own = {"name": name, "beta_start": start, "beta_end": end} if name else None
    return {**how, "schedule": own}


def _moment(moment: NoisedMoment) -> Json:
    where = {"t": moment.t, "alpha_bar": moment.signal, "snr_db": moment.snr_db}
    return dict(plain(where)) | _statistics(moment.sample)


def _statistics(sample: SampleStatistics) -> Json:
    return {"mean": sample.mean, "std": sample.std, "correlation": sample.correlation}
