"""The Noise tab's panels that ask the server: schedules, chain and closed form, posterior."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr
from pydantic import ValidationError

from app.diffusion.schedule import BETA_SCHEDULES
from app.service.laboratory.experiment import Experiment, ScheduleChoice
from app.service.laboratory.experiments import Chain, Inspection
from app.service.laboratory.forward import ChainComparison, PosteriorView
from app.service.laboratory.statistics import Sample
from app.service.studio import Studio
from app.ui.faults import said
from app.ui.instrument import LabInstrument, TimeSlider
from app.ui.lab_messages import Empty, Plate, Schedules, plate
from app.ui.messages import Download, Message
from app.ui.picker import Choice, Picker
from app.ui.run_controls import whole
from app.ui.sheets import data_uri
from app.ui.tabs.lab_parts import Header, light, note, streaming, symbol

TAB: Final = "noise"

CHAIN: Final = r"""
A chain of single steps,
$q(x_{@t}\,|\,x_{@t-1}) = \mathcal N(\sqrt{1-\beta_{@t}}\,x_{@t-1}, \beta_{@t} I)$,
ends in the same distribution as one draw from
$q(x_{@t}\,|\,x_0) = \mathcal N(\sqrt{\bar\alpha_{@t}}\,x_0, (1-\bar\alpha_{@t}) I)$.
The two noises differ; the numbers agree.
"""
POSTERIOR: Final = r"""
One step back. Who knows $x_0$ takes
$\tilde\mu_{@t} = \frac{\sqrt{\bar\alpha_{@t-1}}\beta_{@t}}{1-\bar\alpha_{@t}}x_0 +
\frac{\sqrt{\alpha_{@t}}(1-\bar\alpha_{@t-1})}{1-\bar\alpha_{@t}}x_{@t}$ (eq. 7);
the model puts its guess $\hat x_0$ in $x_0$'s place. Here $x_{@t}$ has the seed's noise, also while
fresh noise is looked at.
"""

X_T: Final = symbol("x", "t")
X_0_HAT: Final = symbol("x\u0302", "0")
MU_TILDE: Final = symbol("\u03bc\u0303", "t")
MU_THETA: Final = symbol("\u03bc", "\u03b8")


@dataclass(frozen=True, eq=False)
class Bench:
    """What all panels of the tab share.

    Attributes:
        studio: What does the work.
        header: The page's model and precision.
        picker: Of x_0.
        time: The slider over t.
        seed: Of eps.
        label: The class, where the model has any.
    """

    studio: Studio
    header: Header
    picker: Picker
    time: TimeSlider
    seed: gr.Number
    label: gr.Dropdown


def schedules_panel(bench: Bench) -> None:
    """beta_t, alpha_bar_t and log SNR of each schedule, a strip under each, L_T of each."""
    note(
        "Where each schedule destroys the picture. $L_T$ is what is still to be seen of it at "
        "the end: the smaller, the closer $x_T$ is to plain noise."
    )
    with gr.Row(elem_classes="lab-row"):
        name = gr.Dropdown(
            ["none", *BETA_SCHEDULES], value="none", label="your own schedule", min_width=120
        )
        start = gr.Number(0.0002, label="\u03b2 at t = 1", minimum=1e-6, maximum=0.5, min_width=90)
        end = gr.Number(0.01, label="\u03b2 at t = T", minimum=1e-6, maximum=0.999, min_width=90)
    instrument = LabInstrument("schedules", tab=TAB, label="schedules side by side")

    def compare(choice: Choice, model: str, name: str, start: float, end: float) -> Message:
        own = None
        if name != "none":
            own = _own_schedule(name, start, end)
        lab = bench.studio.noise_lab
        return Schedules.of(lab.schedules(model, choice.sources[0], own))

    inputs = [bench.picker.state, bench.header.model, name, start, end]
    bench.picker.changed(said(compare), inputs, instrument, **light())
    how = light() | {"trigger_mode": "always_last"}
    bench.header.page.load(said(compare), inputs, instrument, **how)
    for control in (bench.header.model, name, start, end):
        control.change(said(compare), inputs, instrument, **how)


def chain_panel(bench: Bench, tab: gr.Tab) -> None:
    """x_t by t single steps and at once."""
    note(CHAIN)
    button = gr.Button("Draw both", variant="primary", elem_classes="lab-act")
    captions = (f"{X_T} by single steps (eq. 2)", f"{X_T} at once (eq. 4)")
    instrument = LabInstrument(
        "plate", Empty(captions), tab=TAB, label="chain and closed form", elem_classes="lab-two"
    )
    drawn = gr.State(None)

    def draw(choice: Choice, model: str, seed: float, t: int) -> tuple[Message, tuple[str, bytes]]:
        wish = {"model": model, "source": choice.sources[0], "seed": whole(seed), "t": t}
        found = bench.studio.noise_lab.chain(Chain.checked(wish))
        return _chain_plate(found, captions), (f"{model}-chain-{t}.png", found.png())

    inputs = [bench.picker.state, bench.header.model, bench.seed, bench.time]
    _draw_on(button, tab, draw, inputs, [instrument, drawn], light())
    instrument.select(said(_download), drawn, instrument, **light())


def posterior_panel(bench: Bench, tab: gr.Tab) -> None:
    """The posterior of one step beside the model's."""
    note(POSTERIOR)
    button = gr.Button("Inspect this step", variant="primary", elem_classes="lab-act")
    captions = (
        f"{X_T}",
        f"{X_0_HAT} the guess",
        f"{MU_TILDE} knows {symbol('x', '0')}",
        f"{MU_THETA} does not",
        f"{MU_THETA} \u2212 {MU_TILDE} enlarged",
    )
    instrument = LabInstrument(
        "plate", Empty(captions), tab=TAB, label="the posterior and the model's",
        elem_classes="lab-five",
    )  # fmt: skip
    drawn = gr.State(None)

    def inspect(
        choice: Choice, model: str, precision: str, seed: float, label: int | None, t: int
    ) -> tuple[Message, tuple[str, bytes]]:
        wish = {"model": model, "source": choice.sources[0], "seed": whole(seed), "t": t}
        inspection = Inspection.checked(wish | {"precision": precision, "label": label})
        view = bench.studio.noise_lab.inspect(inspection)
        return _posterior_plate(view, captions), (f"{model}-posterior-{t}.png", view.png())

    inputs = [
        *(bench.picker.state, bench.header.model, bench.header.precision),
        *(bench.seed, bench.label, bench.time),
    ]
    _draw_on(button, tab, inspect, inputs, [instrument, drawn], streaming())
    instrument.select(said(_download), drawn, instrument, **light())


def _draw_on(
    button: gr.Button,
    tab: gr.Tab,
    draw: Callable[..., Any],
    inputs: list[Any],
    outputs: list[Any],
    how: dict[str, Any],
) -> None:
    """Draw when asked, and when the panel is opened, where t (the last input) allows it."""

    def opened(*values: Any) -> Any:
        return draw(*values) if values[-1] else (gr.skip(), gr.skip())

    button.click(said(draw), inputs, outputs, **how)
    tab.select(said(opened), inputs, outputs, **how)


def _own_schedule(name: str, start: float, end: float) -> ScheduleChoice:
    fields = {"name": name, "beta_start": start, "beta_end": end}
    try:
        return ScheduleChoice.model_validate(fields)
    except ValidationError as error:
        raise Experiment.fault(error) from error


def _download(drawn: tuple[str, bytes]) -> Download:
    name, png = drawn
    return Download(name, data_uri(png, "image/png"))


def _chain_plate(found: ChainComparison, captions: tuple[str, ...]) -> Plate:
    def row(name: str, seen: Sample) -> tuple[str, ...]:
        share = "\u2013" if seen.correlation is None else f"{seen.correlation:.4f}"
        return name, f"{seen.mean:.4f}", f"{seen.std:.4f}", f"{found.expected_std:.4f}", share

    head = (
        f"t = {found.experiment.t}",
        "mean",
        "std",
        "expected std",
        f"correlation with {symbol('x', '0')}",
    )
    return plate(
        f"chain-{found.experiment.t}",
        (found.chain.pixels, found.closed.pixels),
        captions,
        (
            head,
            row(f"{found.experiment.t} single steps", found.chain),
            row("at once", found.closed),
        ),
    )


def _posterior_plate(view: PosteriorView, captions: tuple[str, ...]) -> Plate:
    head = (
        f"t = {view.experiment.t}",
        f"weight of {symbol('x', '0')}",
        f"weight of {X_T}",
        symbol("\u03b2\u0303", "t"),
        symbol("\u03b2", "t"),
        f"{MU_THETA} \u2212 {MU_TILDE}: rms",
        "largest",
    )
    numbers = (
        *(view.coefficient_x_0, view.coefficient_x_t, view.beta_tilde, view.beta),
        *(view.difference_rms, view.difference_scale),
    )
    return plate(
        f"posterior-{view.experiment.t}",
        (view.x_t, view.x_0_hat, view.mu_tilde, view.mu_theta, view.difference),
        captions,
        (
            head,
            (f"{view.experiment.t} \u2192 {view.experiment.t - 1}", *(f"{n:.4g}" for n in numbers)),
        ),
    )
