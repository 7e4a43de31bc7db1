"""The parts that the three laboratories' tabs have in common: controls that make experiments.

A control has the name of the field that it sets. So one table reads an experiment from the
controls, and sets the controls from a PNG that is dropped on the page.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from PIL import Image

from app.errors import RecipeError
from app.images.encoding import image_of, png_text
from app.laboratory.experiment import Experiment, FromOneXt
from app.laboratory.experiments import (
    AnyExperiment,
    BoundRequest,
    Chain,
    ForwardStrip,
    Grid,
    PosteriorStep,
    Subject,
    even_rows,
    parse_experiment,
)
from app.laboratory.laboratory import Laboratory
from app.painting.canvas import decoded
from app.painting.film import Films
from app.painting.recipe import Recipe
from app.painting.sources import PictureSource
from app.studio import Studio
from app.ui.components.films import PageRuns, Told, tell, wire_player
from app.ui.components.instrument import BrowserComponent, time_value
from app.ui.components.layout import (
    Header,
    chosen_model,
    light,
    open_with,
    stored,
    stored_result,
    streaming,
)
from app.ui.components.messages import Message
from app.ui.components.picker import MAX_CHOSEN, Choice, Mode, Picker
from app.ui.components.player import Player
from app.ui.components.recipe_controls import (
    Controls,
    add_rest,
    can_enlarge,
    in_pixels,
    label_look,
    limited,
    limits,
    size_update,
)
from app.ui.errors import errors_to_page

Kind = TypeVar("Kind", bound=Experiment)
OneXt = TypeVar("OneXt", bound=FromOneXt)
Result = TypeVar("Result")
Shown = Callable[[Any, Choice], dict[str, Any]]
"""Gives the values of controls that don't show the field that they are named after as it is."""


class LabTab:
    """A laboratory's tab: its picker, and its controls by the names of the fields that they set.

    Attributes:
        studio: The studio that does the work.
        header: The page's model and precision.
        tab: The tab's id.
        opened: The tab itself.
        info: The model that the page opens with.
        picker: The picker of the pictures.
        shared: The controls that all panels share.
        forms: The controls that make experiments of each kind.
    """

    def __init__(
        self, studio: Studio, header: Header, tab: str, opened: gr.Tab, mode: Mode
    ) -> None:
        self.studio, self.header, self.tab, self.opened = studio, header, tab, opened
        self.info = studio.models.describe(studio.settings.default_model)
        self.picker = Picker(studio, tab, mode)
        self.shared = Controls(
            choice=self.picker.state, model=header.model, precision=header.precision
        )
        self.forms: dict[type[Experiment], Controls] = {}
        self._shown: dict[type[Experiment], Shown] = {}

    def form(
        self, kind: type[Experiment], shown: Shown = lambda *_: {}, **own: gr.components.Component
    ) -> Controls:
        """List the controls of experiments of a `kind`: its `own`, and the shared ones it has.

        A field of the kind's that has neither gets its control here.
        """
        fields = {*kind.model_fields, *(Recipe.model_fields if "run" in kind.model_fields else ())}
        fields |= {"choice"} if kind.pictures() else set()
        taken = {name: control for name, control in self.shared.items() if name in fields}
        self.forms[kind], self._shown[kind] = Controls(taken, **own), shown
        add_rest(self.forms[kind], kind, without=Recipe.model_fields)
        return self.forms[kind]

    def experiment(self, kind: type[Kind], *values: Any) -> Kind:
        """Make the experiment that the `values` of its controls describe.

        Raises:
            RecipeError: If a value is missing, of a wrong type or out of range.
        """
        return self.made(kind, self.forms[kind].read(values))

    def made(self, kind: type[Kind], values: Mapping[str, Any]) -> Kind:
        """Make an experiment of controls' values, by name; those that it has no field for go."""
        return kind.of(in_pixels(self.studio, values), values["choice"].sources)

    def follow_choice(
        self, do: Callable[..., Message], instrument: BrowserComponent, *controls: Any
    ) -> None:
        """Send what `do` makes of the pictures, the model and `controls`, whenever one changes.

        It is first sent when the tab is opened, so that it needn't come with the page.
        """
        inputs, doing = [self.picker.state, self.header.model, *controls], errors_to_page(do)
        self.picker.changed(doing, inputs, instrument)
        for control in (self.header.model, *controls):
            control.change(doing, inputs, instrument, **light())
        opened = gr.State(False)

        def first(opened: bool, *values: Any) -> tuple[bool, Any]:
            return True, gr.skip() if opened else do(*values)

        event = self.opened.select
        event(errors_to_page(first), [opened, *inputs], [opened, instrument], **light())

    def add_player(
        self,
        kind: type[OneXt],
        laboratory: Laboratory,
        films: Films[OneXt],
        opened: gr.Tab,
        button: gr.Button,
        label: str,
    ) -> PageRuns[OneXt]:
        """Add the player of the runs that `button` starts; it opens with the kept one."""
        with gr.Column(elem_classes="lab-player"):
            player = Player(label=label)
        name = str(kind.model_fields["experiment"].default)
        kept = stored_result(lambda it: kind.from_json(it.read_bytes()), f"{name}-experiment.json")
        form, enlarges = self.forms[kind], partial(can_enlarge, self.studio)

        def opening() -> str | None:
            text = stored(name)
            if text is None or kept is None:
                return text
            more = enlarges(self.studio.models.describe(kept.run.model))
            return json.dumps(json.loads(text) | {"enlarges": more})

        def enlarge(experiment: OneXt, frame: int, *values: Any) -> OneXt:
            return laboratory.enlargement(experiment, form.brushwork.read(values), frame)

        def told(*values: Any) -> Iterator[Told[OneXt]]:
            return tell(films, partial(self.experiment, kind, *values), enlarges)

        runs: PageRuns[OneXt] = PageRuns(player, gr.State(kept))
        open_with(opened, player, opening)
        runs.begin_by(button.click, form.all, told)
        wire_player(films, runs, form.brushwork.all, enlarge, enlarges)
        return runs

    def wire_restoring(self) -> None:
        """Let a PNG dropped on the page set the controls, and open the tab."""
        picker, header = self.picker, self.header
        controls = [control for form in self.forms.values() for control in form.all]
        outputs = [picker.instrument, header.tabs, *dict.fromkeys(controls)]

        def dropped(choice: Choice, png: Path) -> dict[Any, Any]:
            it = experiment_in(png)
            if it is None or type(it) not in self.forms:
                return {header.tabs: gr.skip()}
            values = self._values(it, choice)
            name = "bound" if isinstance(it, BoundRequest) else it.experiment.replace("_", " ")
            if lost := not_restored(it, self.studio):
                gr.Warning(
                    f"The settings of this {name} are restored, but for its {' and '.join(lost)}, "
                    "for which the page has no control."
                )
            else:
                gr.Info(f"The settings of this {name} are restored: it can be done again.")
            restored = {control: values[field] for field, control in self.forms[type(it)].items()}
            if chosen := values.get("choice"):
                restored[picker.instrument] = chosen.message()
            return restored | {header.tabs: gr.Tabs(selected=self.tab)}

        inputs = [picker.state, header.drop]
        event = header.drop.upload(errors_to_page(dropped), inputs, outputs, **streaming())
        picker.follow(event)

    def _values(self, it: AnyExperiment, choice: Choice) -> dict[str, Any]:
        kind, run = type(it), getattr(it, "run", None)
        values: dict[str, Any] = {**(dict(run) if run else {}), **dict(it)}
        model = values["model"]
        if sources := [values[name] for name in kind.pictures()]:
            images = [source_image(self.studio, model, source) for source in sources]
            values["choice"] = choice.restored(images)
        info = self.studio.models.describe(model)
        if "t" in values:
            values["t"] = time_value(values["t"], info.num_train_timesteps)
        for name, largest in limits(info).items():
            if name in values:
                values[name] = limited(values[name], largest)
        if "size" in values:
            values["size"] = size_update(self.studio, info, values["size"])
        if "label" in values:
            values["label"] = gr.update(**label_look(info, values["label"]))
        values["model"] = chosen_model(self.studio, model)
        return values | self._shown[kind](it, choice)


def wire_instrument(
    opened: gr.Tab,
    button: gr.Button,
    inputs: Sequence[gr.components.Component],
    instrument: BrowserComponent,
    *,
    kept: tuple[Callable[[Path], Result], str],
    first: Callable[[Result], Message],
    tell: Callable[..., Iterator[Told[Result]]],
    save: Callable[[Result, Mapping[str, Any]], Message],
    missing: tuple[str, str],
    enlarge: Callable[..., Iterator[Told[Result]]] | None = None,
    brushwork: Sequence[gr.components.Component] = (),
) -> None:
    """Wire an instrument whose runs, that `button` starts, leave a result that can be saved.

    Args:
        opened: The tab that opens with the kept result.
        button: Starts a run.
        inputs: The controls whose values `tell` gets.
        instrument: Shows the run.
        kept: What reads the kept result, and the file where it may be.
        first: Turns that into the first message.
        tell: Does a run.
        save: Makes the file of a result that the browser asks for in its own words.
        missing: What to say where there is nothing to save, and what to do then.
        enlarge: Does a result's run again with its pictures enlarged, if there is such a thing.
        brushwork: The controls whose values `enlarge` gets after the result.
    """

    @cache
    def at_first() -> Result | None:
        return stored_result(*kept)

    def opening() -> Message | None:
        result = at_first()
        return None if result is None else first(result)

    def asked(
        event: gr.EventData, result: Result | None, *values: Any
    ) -> Message | Iterator[Told[Result]]:
        shown = result or at_first()
        if shown is None:
            raise RecipeError(*missing)
        wish = event._data if isinstance(event._data, dict) else {}
        if enlarge and wish.get("ask") == "enlarge":
            return enlarge(shown, *values)
        return save(shown, wish)

    runs: PageRuns[Result] = PageRuns(instrument, gr.State(None))
    open_with(opened, instrument, opening)
    runs.begin_by(button.click, inputs, tell)
    runs.answer_by(asked, brushwork)


def experiment_in(png: Path) -> AnyExperiment | None:
    """Read the experiment in a PNG's text; None where there is none.

    Raises:
        RecipeError: If the experiment there can't be used.
    """
    try:
        with png.open("rb") as file:
            text = png_text(file, Experiment.png_key)
    except RecipeError:
        return None
    return parse_experiment(text)


def not_restored(it: AnyExperiment, studio: Studio) -> list[str]:
    """Name the settings of an experiment that have no control, or not the page's value."""
    match it:
        case ForwardStrip() | Chain():
            lost = {"schedule": it.schedule is not None}
        case PosteriorStep():
            lost = {"clipping": not it.clip}
        case BoundRequest():
            others = {subject.kind for subject in it.subjects} - {"picture"}
            room = len(shown_subjects(it)) + len(others)
            lost = {"pictures": room < len(it.subjects), "precision": it.precision != "exact"}
        case _:
            lost = {
                "clipping": not it.run.clip,
                "spacing": it.run.spacing != "trailing",
                "second seed": getattr(it, "seed", it.run.seed) != it.run.seed,
                "rows": isinstance(it, Grid) and shown_rows(it, studio) is None,
                "weights": bool(studio.painter.differences(it.run)),
            }
    return [name for name, is_lost in lost.items() if is_lost]


def shown_subjects(it: BoundRequest) -> list[Subject]:
    """Return the pictures of a bound that the page has room for."""
    return [s for s in it.subjects if s.kind == "picture" and s.source][:MAX_CHOSEN]


def shown_rows(it: Grid, studio: Studio) -> int | None:
    """Return the number of a grid's rows; None where they aren't the evenly spaced ones."""
    total, count = studio.models.describe(it.run.model).num_train_timesteps, len(it.rows)
    return count if count > 1 and it.rows == even_rows(total, count) else None


def source_image(studio: Studio, model: str, source: PictureSource) -> Image.Image:
    """Return a source's own picture, not as one model sees it; painted ones are painted again."""
    if source.pixels is not None:
        return decoded(source.pixels)
    return image_of(studio.noise_lab.picture(model, source))
