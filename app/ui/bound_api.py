"""The public API of the laboratory Bound."""

import gradio as gr

from app.errors import RecipeError
from app.service.laboratory.bounding import Bounding
from app.service.laboratory.bounds import BoundMoment
from app.service.studio import Studio
from app.ui import arguments as arg
from app.ui.arguments import Json
from app.ui.endpoint import expose
from app.ui.files import saved_file
from app.ui.lab_api import described, plain, source_of


def add_bound_api(studio: Studio, network: str) -> None:
    """Add the endpoints of the Bound laboratory."""
    lab, default = studio.bound_lab, studio.settings.default_model

    def bound(
        picture: arg.Picture,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        kind: arg.Kind = "picture",
        terms: arg.Terms = 50,
        draws: arg.Draws = 2,
        variance: arg.Variance = "fixed_small",
        clip: arg.Clip = True,
        seed: arg.Seed = 0,
        precision: arg.Precision = "exact",
        label: arg.Label = None,
    ) -> tuple[gr.FileData, list[Json], Json]:
        """Compute the evidence lower bound of a picture, in bits per dimension.

        Returns:
            figure: A PNG of the bound, its experiment inside.
            terms: Every term with its error, and the totals so far; the last has the whole bound.
            experiment: All it takes to do it again.
        """
        subject = {"kind": kind, "source": source_of(studio, picture, model, fit), "name": kind}
        wish = {"model": model, "subjects": (subject,), "terms": terms, "draws": draws}
        how: Json = {"variance": variance, "clip": clip, "seed": seed}
        how |= {"precision": precision, "label": label}
        bounding = lab.complete(Bounding.checked(wish | how))
        result = lab.result(bounding)
        (moments,) = result.moments
        figure = saved_file(f"{result.name}.png", result.png())
        return figure, [_term(moment) for moment in moments], described(bounding)

    def bound_weights(
        model: arg.Model = default, variance: arg.FixedVariance = "fixed_small"
    ) -> Json:
        """Tell what L_vlb multiplies each step's eps error by; L_simple multiplies by 1.

        Returns:
            weights: t, and vlb in bits/dim at each.
        """
        match variance:
            case "fixed_small" | "fixed_large":
                return dict(plain(lab.weights(model, variance)))
            case _:
                raise RecipeError(
                    f"There is no fixed variance {variance!r}.",
                    "Choose fixed_small or fixed_large.",
                )

    expose(bound, concurrency_id=network)
    expose(bound_weights)


def _term(moment: BoundMoment) -> Json:
    about = {"kind": moment.kind, "t": moment.t, "weight": moment.weight}
    return about | dict(plain(moment.subjects[0]))
