"""The public API of the laboratory Bound."""

from typing import Annotated, Any

import gradio as gr

from app.errors import RecipeError
from app.fields import Fields
from app.laboratory.bound_results import BoundMoment
from app.laboratory.experiments import BoundRequest
from app.studio import Studio
from app.ui.callers import Steps
from app.ui.endpoints import arguments as arg
from app.ui.endpoints.arguments import Json
from app.ui.endpoints.endpoint import expose
from app.ui.endpoints.experiments import described, plain, shown, source_of
from app.ui.endpoints.files import saved_file


def add_bound_api(studio: Studio, network: str) -> None:
    """Add the endpoints of the Bound laboratory."""
    lab, default = studio.bound_lab, studio.settings.default_model

    def bound(
        picture: arg.Picture,
        **how: Annotated[
            Any,
            shown(studio, "kind"),
            Fields(BoundRequest, ("terms", "draws")),
            Fields(BoundRequest),
        ],
    ) -> Steps[tuple[gr.FileData, list[Json], Json]]:
        """Compute the evidence lower bound of a picture, in bits per dimension.

        Of a latent model, that of its latent but for L_0, in nats per dimension.

        Returns:
            figure: A PNG of the bound, its experiment inside.
            terms: Every term with its error, and the totals so far; the last has the whole bound.
            experiment: All it takes to do it again.
        """
        kind = how["kind"]
        source = source_of(studio, picture, how["model"], how["fit"])
        how["subjects"] = ({"kind": kind, "source": source, "name": kind},)
        result = yield from lab.bounds.steps(lab.complete(BoundRequest.of(how)))
        (moments,) = result.moments
        figure = saved_file(f"{result.name}.png", result.png())
        return figure, [_term(moment) for moment in moments], described(result.experiment)

    def bound_weights(
        model: arg.Model = default,
        variance: arg.FixedVariance = "fixed_small",
    ) -> Json:
        """Tell what L_vlb multiplies each step's eps error by; L_simple multiplies by 1.

        Returns:
            weights: t, and vlb in bits/dim at each, of a latent model in nats/dim.
        """
        if variance not in ("fixed_small", "fixed_large"):
            raise RecipeError(
                f"There is no fixed variance {variance!r}.", "Choose fixed_small or fixed_large."
            )
        return dict(plain(lab.weights(model, variance)))

    expose(bound, concurrency_id=network)
    expose(bound_weights)


def _term(moment: BoundMoment) -> Json:
    about = {"kind": moment.kind, "t": moment.t, "weight": moment.weight}
    return about | dict(plain(moment.subjects[0]))
