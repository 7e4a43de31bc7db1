"""The Noise tab: one picture's forward process, its posterior, and the way back from any x_t."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, TypeVar

import gradio as gr
import numpy as np

from app.diffusion.cascade import RATIO
from app.diffusion.schedule import BETA_SCHEDULES
from app.fields import whole
from app.images.arrays import Pixels
from app.images.encoding import png_uri
from app.images.pixels import evenly_spaced
from app.laboratory.experiments import Chain, Denoising, ForwardStrip, PosteriorStep
from app.laboratory.noise import SampleStatistics, ScheduleCurves
from app.models.files import ModelInfo
from app.painting.recipe import Recipe
from app.studio import Studio
from app.ui.components import recipe_controls as easel
from app.ui.components.films import PageRuns, Told, tell
from app.ui.components.instrument import LabComponent, TimeSlider
from app.ui.components.laboratory import LabTab
from app.ui.components.layout import Header, light, note, quiet, streaming, symbol
from app.ui.components.messages import Download, ForwardMessage, Message
from app.ui.components.numbers import Number
from app.ui.components.picker import Choice
from app.ui.components.recipe_controls import can_enlarge, follow_model, following
from app.ui.errors import errors_to_page

TAB: Final = "noise"

INTRO: Final = r"""
The forward process mixes a picture $x_0$ with noise, a little more at every step; in closed form
$\;x_{@t} = \sqrt{\bar\alpha_{@t}}\,x_0 +
\sqrt{1-\bar\alpha_{@t}}\,\epsilon,\;\; \epsilon\sim\mathcal N(0, I)\;$ (eq. 4).
Move $@t$: at $0$ stands the picture, at $T$ nothing is left of it but noise.
"""
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


MAX_LINES: Final = 150
"""Points of a schedule's curve: a plot is 300 pixels wide."""


@dataclass(frozen=True)
class Schedules(Message):
    """Schedules side by side."""

    kind: ClassVar[str] = "schedules"
    curves: tuple[ScheduleCurves, ...]

    @classmethod
    def of(cls, found: Sequence[ScheduleCurves]) -> "Schedules":
        """Thin the curves to what a plot can show."""
        return cls(tuple(_thinned(curves) for curves in found))


def _thinned(curves: ScheduleCurves) -> ScheduleCurves:
    at = evenly_spaced(MAX_LINES, len(curves.t))
    lines: dict[str, Any] = {
        name: tuple(float(f"{getattr(curves, name)[i]:.5g}") for i in at)
        for name in ("beta", "alpha_bar", "log_snr")
    }
    return replace(curves, t=tuple(curves.t[i] for i in at), **lines)


@dataclass(frozen=True)
class Empty(Message):
    """A plate without its pictures yet; captions are HTML written here."""

    kind: ClassVar[str] = "empty"
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Plate(Message):
    """A few pictures in a row on one sheet, a caption under each, and a table.

    Attributes:
        about: The name by which a test or a screen reader knows the plate.
        sheet: The pictures from left to right, a PNG.
        tile: A picture's width and height in pixels.
        captions: HTML, written by this program and by nobody else.
        table: The table's head and rows, HTML likewise.
    """

    kind: ClassVar[str] = "plate"
    about: str
    sheet: str
    tile: tuple[int, int]
    captions: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]


def _sheet(*pictures: Pixels) -> tuple[str, tuple[int, int]]:
    """Join pictures (H, W, 3) side by side; return the PNG, and a picture's width and height."""
    height, width = pictures[0].shape[:2]
    return png_uri(np.concatenate(pictures, axis=1)), (width, height)


def noise_tab(studio: Studio, header: Header, tab: gr.Tab) -> LabTab:
    """Build the tab."""
    note(INTRO, "lab-intro")
    with gr.Row(elem_classes="studio-easel"):
        with gr.Column(elem_classes="studio-controls", scale=0, min_width=300):
            lab = LabTab(studio, header, TAB, tab, "one")
            enlarge = _enlarge_button(lab)
            lab.shared["seed"] = easel.seed_control()
            fresh = easel.control(ForwardStrip, "fresh")
            lab.shared["label"] = easel.label_control(studio, header.model)
        with gr.Column(elem_classes="studio-pictures", scale=1):
            instrument = LabComponent("noise", tab=TAB, label="the forward process")
            lab.shared["t"] = TimeSlider(300, lab.info.num_train_timesteps, tab=TAB)
            with gr.Tabs(elem_classes="lab-panels", overflow_behavior="wrap") as panels:
                with gr.Tab("Film strip", elem_id="noise-strip"):
                    _strip_panel(lab, fresh)
                with gr.Tab("Schedules", elem_id="noise-schedules"):
                    _schedules_panel(lab)
                with gr.Tab("Chain or closed form", elem_id="noise-chain") as chain:
                    _chain_panel(lab, chain)
                with gr.Tab("Posterior", id="posterior", elem_id="noise-posterior") as posterior:
                    _posterior_panel(lab, posterior)
                with gr.Tab("Denoise from here", id="denoise", elem_id="noise-denoise") as denoise:
                    runs = _denoise_panel(lab, denoise)
    header.panels[TAB] = panels
    _wire_enlarging(lab, enlarge, panels, runs)

    def material(choice: Choice, model: str, seed: float) -> Message:
        noising = {"model": model, "source": choice.sources[0], "seed": whole(seed)}
        return ForwardMessage.of(studio.noise_lab.material(ForwardStrip.checked(noising)))

    lab.follow_choice(material, instrument, lab.shared["seed"])
    lab.wire_restoring()
    return lab


def _strip_panel(lab: LabTab, fresh: gr.Checkbox) -> None:
    with gr.Row(elem_classes="lab-row"):
        moments = easel.control(ForwardStrip, "moments", min_width=200)
    strip = LabComponent("strip", tab=TAB, label="film strip of x_t")
    form = lab.form(ForwardStrip, moments=moments, fresh=fresh)
    for name in ("moments", "fresh"):
        share = f"({name}) => pleinAir.share('{TAB}', {{ {name} }})"
        form[name].change(None, form[name], None, js=share)

    def save(event: gr.EventData, *values: Any) -> Message:
        drawn = lab.studio.noise_lab.strip(lab.experiment(ForwardStrip, *values))
        match event._data:
            case {"ask": "png"}:
                return Download.of(f"{drawn.name}.png", drawn.png())
            case {"ask": "gif" | "webp" as form}:
                return Download.of(f"{drawn.name}.{form}", drawn.animation(form))
            case _:
                return Download("", "")

    strip.select(errors_to_page(save), form.all, strip, **light())


def _schedules_panel(lab: LabTab) -> None:
    """Build the panel of the schedules: beta_t, alpha_bar_t, log SNR, a strip and L_T of each."""
    note(
        "Where each schedule destroys the picture. $L_T$ is what is still to be seen of it at "
        "the end: the smaller, the closer $x_T$ is to plain noise."
    )
    with gr.Row(elem_classes="lab-row"):
        name = gr.Dropdown(
            ["none", *BETA_SCHEDULES], value="none", label="your own schedule", min_width=120
        )
        start = Number(0.0002, label="\u03b2 at t = 1", minimum=1e-6, maximum=0.5, min_width=90)
        end = Number(0.01, label="\u03b2 at t = T", minimum=1e-6, maximum=0.999, min_width=90)
    instrument = LabComponent("schedules", tab=TAB, label="schedules side by side")

    def compare(choice: Choice, model: str, name: str, start: float, end: float) -> Message:
        own = {"name": name, "beta_start": start, "beta_end": end}
        wish = {"model": model, "source": choice.sources[0]}
        it = ForwardStrip.checked(wish | ({} if name == "none" else {"schedule": own}))
        return Schedules.of(lab.studio.noise_lab.schedules(it.model, it.source, it.schedule))

    lab.follow_choice(compare, instrument, name, start, end)


def _chain_panel(lab: LabTab, tab: gr.Tab) -> None:
    """Build the panel that draws x_t by t single steps and at once."""
    note(CHAIN)
    captions = (f"{X_T} by single steps (eq. 2)", f"{X_T} at once (eq. 4)")

    def draw(it: Chain) -> Drawn:
        found = lab.studio.noise_lab.chain(it)

        def row(name: str, seen: SampleStatistics) -> tuple[str, ...]:
            share = "\u2013" if seen.correlation is None else f"{seen.correlation:.4f}"
            return name, f"{seen.mean:.4f}", f"{seen.std:.4f}", f"{found.expected_std:.4f}", share

        correlation = f"correlation with {symbol('x', '0')}"
        table = (
            (f"t = {it.t}", "mean", "std", "expected std", correlation),
            row(f"{it.t} single steps", found.chain),
            row("at once", found.closed),
        )
        sheet = _sheet(found.chain.pixels, found.closed.pixels)
        return Plate(f"chain-{it.t}", *sheet, captions, table), found.png()

    label = "chain and closed form"
    _add_plate(lab, tab, Chain, draw, "Draw both", Empty(captions), label, "lab-two", light())


def _posterior_panel(lab: LabTab, tab: gr.Tab) -> None:
    """Build the panel that shows one step's posterior beside the model's."""
    note(POSTERIOR)
    captions = (
        f"{X_T}",
        f"{X_0_HAT} the guess",
        f"{MU_TILDE} knows {symbol('x', '0')}",
        f"{MU_THETA} does not",
        f"{MU_THETA} \u2212 {MU_TILDE} enlarged",
    )

    def draw(it: PosteriorStep) -> Drawn:
        view = lab.studio.noise_lab.inspect(it)
        columns = {
            f"weight of {symbol('x', '0')}": view.coefficient_x_0,
            f"weight of {X_T}": view.coefficient_x_t,
            symbol("\u03b2\u0303", "t"): view.beta_tilde,
            symbol("\u03b2", "t"): view.beta,
            f"{MU_THETA} \u2212 {MU_TILDE}: rms": view.difference_rms,
            "largest": view.difference_scale,
        }
        step = f"{it.t} \u2192 {it.t - 1}"
        table = (f"t = {it.t}", *columns), (step, *(f"{n:.4g}" for n in columns.values()))
        sheet = _sheet(view.x_t, view.x_0_hat, view.mu_tilde, view.mu_theta, view.difference)
        return Plate(f"posterior-{it.t}", *sheet, captions, table), view.png()

    label, act = "the posterior and the model's", "Inspect this step"
    empty, how = Empty(captions), streaming()
    _add_plate(lab, tab, PosteriorStep, draw, act, empty, label, "lab-five", how)


Drawn = tuple[Plate, bytes]
"""A plate, and the file that is saved of it."""

Step = TypeVar("Step", Chain, PosteriorStep)


def _add_plate(
    lab: LabTab,
    tab: gr.Tab,
    kind: type[Step],
    draw: Callable[[Step], Drawn],
    act: str,
    empty: Empty,
    label: str,
    look: str,
    how: dict[str, Any],
) -> None:
    """Add a plate that is drawn on a click, and when the panel is opened unless t is 0."""
    button = gr.Button(act, variant="primary", elem_classes="lab-act")
    instrument = LabComponent("plate", empty, tab=TAB, label=label, elem_classes=look)
    form, drawn = lab.form(kind), gr.State(None)

    def clicked(*values: Any) -> tuple[Message, tuple[str, bytes]]:
        it = lab.experiment(kind, *values)
        shown, png = draw(it)
        return shown, (f"{it.model}-{shown.about}.png", png)

    def opened(*values: Any) -> Any:
        return clicked(*values) if form.read(values)["t"] else (gr.skip(), gr.skip())

    def save(drawn: tuple[str, bytes]) -> Message:
        return Download.of(*drawn)

    button.click(errors_to_page(clicked), form.all, [instrument, drawn], **how)
    tab.select(errors_to_page(opened), form.all, [instrument, drawn], **how)
    instrument.select(errors_to_page(save), drawn, instrument, **light())


def _denoise_panel(lab: LabTab, tab: gr.Tab) -> PageRuns[Denoising]:
    note(
        "What the model makes of a half-destroyed picture: the reverse process, started from "
        "$x_{@t}$ with the seed's noise (fresh noise is only looked at). The more of the picture "
        "is left, the less it can change."
    )
    with gr.Row(elem_classes="lab-row"):
        way = easel.way_back(lab.info, 150)
        variations = easel.control(Recipe, "pictures", value=4, label="variations", min_width=120)
        button = gr.Button("Denoise", variant="primary", min_width=120, scale=0)
    with gr.Column(elem_classes="lab-size"):
        large = easel.stage_controls(lab.studio, lab.header.model, large=False)
    lab.form(Denoising, pictures=variations, **way, **large)
    noise_lab = lab.studio.noise_lab
    runs = lab.add_player(Denoising, noise_lab, noise_lab.films, tab, button, "denoised")
    follow_model(lab.studio, lab.header.model, way)
    return runs


def _enlarge_button(lab: LabTab) -> gr.Button:
    """Build the button that enlarges the chosen picture, shown where there is a stage for it."""

    def about(info: ModelInfo) -> str:
        return (
            f"brought to {info.size} px first, the model's side, and painted anew at four times "
            f"that, {RATIO * info.size} px"
        )

    def shown(name: str) -> tuple[Any, str]:
        info = lab.studio.models.describe(name)
        return gr.update(visible=can_enlarge(lab.studio, info)), about(info)

    with gr.Row(elem_classes="lab-enlarge", visible=can_enlarge(lab.studio, lab.info)) as row:
        button = gr.Button(f"\u00d7 {RATIO}", size="sm", min_width=44, scale=0)
        words = gr.Markdown(about(lab.info), elem_classes="lab-note")
    model = lab.header.model
    model.change(following(shown), model, [row, words], **quiet())
    return button


def _wire_enlarging(
    lab: LabTab, button: gr.Button, panels: gr.Tabs, runs: PageRuns[Denoising]
) -> None:
    """Let `button` enlarge the chosen picture in the player of what is denoised."""
    films, form = lab.studio.noise_lab.films, lab.forms[Denoising]

    def told(*values: Any) -> Iterator[Told[Denoising]]:
        it = form.read(values) | {"pictures": 1}
        info = lab.studio.models.describe(it["model"])
        return tell(films, lambda: Denoising.enlarging(it, it["choice"].sources[0], info))

    # The player must be on the page before it is told of the run.
    opening = button.click(lambda: gr.Tabs(selected="denoise"), None, panels, **light())
    opening.then(None, None, None, js=f"() => pleinAir.showPlayer('{TAB}')")
    runs.begin_by(opening.then, form.all, told)
