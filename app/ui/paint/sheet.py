"""The same seed side by side: a sheet over any two settings, folded below Paint's player."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

import gradio as gr

from app.errors import RecipeError
from app.images.encoding import jpeg_uri
from app.laboratory.sheet import SheetLab, SheetResult
from app.laboratory.sheet_experiment import Setting, Sheet, SheetAxis
from app.models.files import ModelInfo
from app.painting.recipe import Recipe
from app.studio import Studio
from app.ui.components.films import MessagePace, PageRuns, Told, duration
from app.ui.components.instrument import LabComponent
from app.ui.components.laboratory import experiment_in
from app.ui.components.layout import Header, counted, note, quiet, streaming
from app.ui.components.messages import Download, Finish, Message
from app.ui.components.recipe_controls import Controls, can_enlarge, following, in_pixels
from app.ui.errors import errors_to_page

YIELD_SECONDS: Final = 1 / 5

NAMES: Final[dict[Setting, str]] = {
    "steps": "steps",
    "sampler": "sampler",
    "model": "model",
    "label": "class",
    "guidance_scale": "guidance",
    "eta": "eta",
    "stage_noise": "second stage's noise, t",
}

SHOWN: Final = 4
"""The most values of a setting that are suggested."""


@dataclass(frozen=True, kw_only=True)
class SheetStart(Message):
    """A new sheet: a box for every cell.

    Attributes:
        run: The sheet's name; later messages repeat it.
        columns: The heading of each column, in plain words; `rows` likewise.
        words: How long the sheet will take.
    """

    kind: ClassVar[str] = "sheet"
    run: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    words: str


@dataclass(frozen=True, kw_only=True)
class SheetCell(Message):
    """A cell's picture, on the way or finished.

    Attributes:
        place: The cell's number, row by row.
        src: The picture, a JPEG.
        link: Of a finished one, the part after "?recipe=" of a link that paints it again.
    """

    kind: ClassVar[str] = "cell"
    run: str
    place: int
    src: str
    words: str
    link: str = ""


def sheet_panel(
    studio: Studio,
    header: Header,
    fields: Controls,
    followed: Callable[[Recipe], dict[Any, Any]],
) -> None:
    """Build the fold, whose sheets have in common what the form's `fields` say.

    `followed` gives the updates that set the form to a recipe.
    """
    info = studio.models.describe(studio.settings.default_model)
    with gr.Accordion(
        "The same seed side by side", open=False, elem_classes="studio-sheet"
    ) as fold:
        note(
            "The form's seed and settings, in a sheet: one setting differs from row to row, "
            "another from column to column. A finished cell opens in a tab of its own."
        )
        with gr.Row(elem_classes="lab-row"):
            rows = _axis_controls(studio, info, "rows", "steps")
            columns = _axis_controls(studio, info, "columns", "sampler")
            button = gr.Button("Paint the sheet", min_width=120, scale=0)
        words = gr.HTML("&nbsp;", elem_classes="lab-estimate")
        instrument = LabComponent("sheet", tab="paint", label="the same seed side by side")
    lab = studio.sheet_lab
    inputs = [*fields.all, *rows, *columns]

    def wish(*values: Any) -> Sheet:
        *form, row, row_values, column, column_values = values
        axes = {
            "rows": SheetAxis.written(row, row_values),
            "columns": SheetAxis.written(column, column_values),
        }
        return Sheet.of(in_pixels(studio, fields.read(form)) | {"pictures": 1} | axes)

    def estimate(*values: Any) -> str:
        return estimate_words(lab, wish(*values))

    def told(*values: Any) -> Iterator[Told[SheetResult]]:
        return tell_sheet(lab, partial(wish, *values))

    def asked(_: gr.EventData, result: SheetResult | None) -> Message:
        if result is None:
            raise RecipeError("There is no sheet yet.", "Paint one first.")
        return Download.of(f"{result.name}.png", result.png())

    how = streaming() | {"trigger_mode": "always_last"}
    said = {"fn": errors_to_page(estimate), "inputs": inputs, "outputs": words, **how}
    texts = [event for _, text in (rows, columns) for event in (text.submit, text.blur)]
    gr.on([fold.expand, *texts], **said)
    for setting, text in (rows, columns):
        suggested = following(lambda name, model: suggestion(studio, name, model))
        chosen = setting.input(suggested, [setting, header.model], text, **quiet())
        chosen.then(**said)
    # The form stands above: nobody may be looking, and then the network needn't run.
    changed = [control.change for control in fields.values()]
    gr.on(changed, None, None, words, js='() => "&nbsp;"', **quiet())
    offered = following(lambda model: [_offered(studio, model)] * 2)
    header.model.change(offered, header.model, [rows[0], columns[0]], **quiet())
    runs: PageRuns[SheetResult] = PageRuns(instrument, gr.State(None))
    runs.begin_by(button.click, inputs, told)
    runs.answer_by(asked)

    def dropped(png: Path) -> Mapping[Any, Any]:
        it = experiment_in(png)
        if not isinstance(it, Sheet):
            return {header.tabs: gr.skip()}
        gr.Info("The settings of this sheet are restored: it can be painted again.")
        axes = {
            control: value
            for (setting, text), axis in ((rows, it.rows), (columns, it.columns))
            for control, value in ((setting, axis.setting), (text, written(axis)))
        }
        opened = {fold: gr.Accordion(open=True), header.tabs: gr.Tabs(selected="paint")}
        return followed(it.run) | axes | opened

    outputs = [header.tabs, fold, *fields.all, *rows, *columns]
    header.drop.upload(errors_to_page(dropped), header.drop, outputs, **streaming())


def _axis_controls(
    studio: Studio, info: ModelInfo, label: str, setting: Setting
) -> tuple[gr.Dropdown, gr.Textbox]:
    choices = _offered(studio, info.id)["choices"]
    values = suggestion(studio, setting, info.id)
    return (
        gr.Dropdown(choices, value=setting, label=label, min_width=100),
        gr.Textbox(values, label=f"values in the {label}", min_width=220, max_lines=1),
    )


def _offered(studio: Studio, model: str) -> Any:
    """Return the update of a setting's list: those that can differ for the model's pictures."""
    names = [name for name in NAMES if "," in suggestion(studio, name, model)]
    return gr.update(choices=[(NAMES[name], name) for name in names])


def suggestion(studio: Studio, setting: Setting, model: str) -> str:
    """Return values of a setting to begin with, as people write them, for a model."""
    info = studio.models.describe(model)
    match setting:
        case "steps":
            values: list[Any] = [n for n in (10, 25, 50, 100) if n <= info.num_train_timesteps]
        case "sampler":
            values = ["ddpm", "ddim", "dpm-solver-sde"]
        case "model":
            values = [it.id for it in studio.models.list() if it.size == info.size]
        case "label":
            values = [name if "," not in name else i for i, name in enumerate(info.labels)]
        case "guidance_scale":
            values = [1, 1.5, 2, 3] if info.null_label is not None else []
        case "eta":
            values = [0, 0.5, 1]
        case "stage_noise":
            most = [stage.low_res_noise for stage in studio.models.stages()[:1]]
            values = [0, *(most[0] * n // 3 for n in (1, 2, 3))] if most else []
            values = values if can_enlarge(studio, info) else []
    return ", ".join(map(str, values[:SHOWN]))


def written(axis: SheetAxis) -> str:
    """Write an axis's values as people do."""
    return ", ".join(map(str, axis.values))


def tell_sheet(lab: SheetLab, wish: Callable[[], Sheet]) -> Iterator[Told[SheetResult]]:
    """Paint the sheet that `wish` asks for: its boxes, its cells as they come, its end."""
    run = lab.complete(wish())
    it, cells, steps = run.request, run.request.cells, lab.network_steps(run.request)
    name, pace, result = uuid4().hex, MessagePace(YIELD_SECONDS), None
    columns, rows = (
        tuple(axis.label(value) for value in axis.values) for axis in (it.columns, it.rows)
    )
    yield (
        SheetStart(run=name, columns=columns, rows=rows, words=estimate_words(lab, it)),
        SheetResult(it, (None,) * len(cells)),
    )
    for item in lab.sheets.stream(run):
        if isinstance(item, SheetResult):
            result = item
        elif item.finished or pace.due:
            left = f"{duration(pace.left(item.step, steps))} left"
            where = f"cell {item.place + 1} of {len(cells)}", f"t = {item.t}", left
            src = jpeg_uri(item.picture, 92 if item.finished else 75)
            link = cells[item.place].to_link() if item.finished else ""
            words = " · ".join(where)
            yield SheetCell(run=name, place=item.place, src=src, words=words, link=link), result
            pace.told()
    yield Finish(name, f"finished in {duration(pace.seconds)}"), result


def estimate_words(lab: SheetLab, sheet: Sheet) -> str:
    """Say how long a sheet will take: "9 pictures · 255 network steps · about 20 s"."""
    estimate = lab.estimate(lab.complete(sheet).request)
    return (
        f"{counted(len(sheet.cells), 'picture')} · "
        f"{counted(estimate.network_steps, 'network step')} · about {duration(estimate.seconds)}"
    )
