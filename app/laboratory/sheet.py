"""Sheets: one seed's picture for every pair of two settings' values, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.images.arrays import Pixels
from app.images.encoding import png_bytes
from app.images.sheets import grid_sheet
from app.laboratory.laboratory import TimeEstimate, step_seconds
from app.laboratory.sheet_experiment import AxisValue, Sheet, SheetAxis
from app.limits import STAGE_COST
from app.models.files import ModelInfo, Stamp
from app.painting.film import Moment
from app.painting.painter import Painter
from app.painting.recipe import Recipe, file_stem
from app.painting.runs import CheckedRun, LoadedRun, Runs


@dataclass(frozen=True, eq=False)
class SheetMoment:
    """One step of one cell.

    Attributes:
        place: The cell's number from 0, row by row.
        step: The network steps done so far in the whole sheet.
        t: The paper's t.
        picture: (H, W, 3) uint8: x_0_hat on the way, the finished picture at the end.
        finished: Whether it is finished.
    """

    place: int
    step: int
    t: int
    picture: Pixels
    finished: bool


@dataclass(frozen=True, eq=False)
class SheetResult:
    """A sheet, whole or as far as it has come.

    Attributes:
        experiment: Says how to paint the sheet again.
        pictures: Each cell's, (H, W, 3) uint8, row by row; None where one hasn't come yet.
    """

    experiment: Sheet
    pictures: tuple[Pixels | None, ...]

    @property
    def name(self) -> str:
        """A file name without its ending."""
        it = self.experiment
        axes = f"{it.rows.setting}-{it.columns.setting}"
        return f"{file_stem(it.run.model)}-sheet-{axes}-seed-{it.run.seed}{it.run.size_suffix}"

    @property
    def nbytes(self) -> int:
        """The bytes of the pictures."""
        return sum(picture.nbytes for picture in self.pictures if picture is not None)

    def png(self) -> bytes:
        """Draw the labelled sheet as a PNG with the experiment inside; a cell at least has come."""
        it, width = self.experiment, len(self.experiment.columns.values)
        lows = range(0, len(self.pictures), width)
        sheet = grid_sheet(
            [self.pictures[low : low + width] for low in lows],
            _headings(it.columns),
            _headings(it.rows),
            title=f"{it.run.model}, seed {it.run.seed}",
        )
        return png_bytes(sheet, it)


def _headings(axis: SheetAxis) -> list[str]:
    return [axis.label(value) for value in axis.values]


SheetItem = SheetMoment | SheetResult


class SheetLab:
    """Paints the same seed side by side.

    Attributes:
        sheets: Give the empty sheet first; then for each cell, row by row, its SheetMoments, and
            before the last of them the sheet with that cell filled in.
    """

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self.sheets: Runs[Sheet, SheetItem, SheetResult] = Runs(
            self.complete, self.network_steps, self._painted, SheetResult
        )

    def complete(self, sheet: Sheet) -> CheckedRun[Sheet]:
        """Check each cell, and complete the sheet as it will be painted here.

        Raises:
            LimitError: If the sheet is more than one request may ask for.
            ModelError, RecipeError: If a cell can't be painted.
        """
        # One after the other, lest all models are in memory at once.
        found = [_Found.of(self._painter.complete(cell)) for cell in sheet.cells]
        recipes = [it.recipe for it in found]
        self._painter.limits.check_work(
            sum(recipe.steps for recipe in recipes),
            1,
            max(it.info.size for it in found),
            guided=sum(it.guided for it in found),
            later=sum(recipe.later_steps for recipe in recipes),
        )
        first, weights = recipes[0], {recipe.model: recipe.weights for recipe in recipes}

        def told(axis: SheetAxis) -> SheetAxis:
            change: dict[str, object] = {}
            if axis.setting == "model":
                change["weights"] = tuple(weights[str(model)] for model in axis.values)
            elif axis.setting == "label" and len(weights) == 1:
                change["values"] = tuple(map(found[0].called, axis.values))
            return axis.model_copy(update=change)

        run = sheet.run.model_copy(
            update={
                "weights": first.weights if len(weights) == 1 else "",
                "stage_weights": first.stage_weights,
                "versions": first.versions,
                **({"size": None} if first.size is None else {}),
            }
        )
        rows, columns = told(sheet.rows), told(sheet.columns)
        request = sheet.model_copy(update={"run": run, "rows": rows, "columns": columns})
        stamps = {stamp: None for it in found for stamp in it.stamps}
        return CheckedRun(request, stamps=tuple(stamps))

    def network_steps(self, sheet: Sheet) -> int:
        """Count the network steps of all cells."""
        return sum(self._painter.network_steps(cell) for cell in sheet.cells)

    def estimate(self, sheet: Sheet) -> TimeEstimate:
        """Estimate how long a sheet takes: its steps times the seconds of a step of each model."""
        measured: dict[str, float] = {}
        total = 0.0
        for cell in sheet.cells:
            run = self._painter.complete(cell)
            if cell.model not in measured:
                plain = run.request.model_copy(update={"guidance_scale": 1.0})
                measured[cell.model] = step_seconds(self._painter.models, run.model, plain, 1)
            cost = cell.steps + _Found.of(run).guided + STAGE_COST * run.request.later_steps
            total += cost * measured[cell.model]
        steps = self.network_steps(sheet)
        return TimeEstimate(steps, total / steps, total)

    def _painted(self, run: CheckedRun[Sheet]) -> Iterator[SheetItem]:
        sheet, steps = run.request, 0
        done = SheetResult(sheet, (None,) * len(sheet.cells))
        yield done
        for place, cell in enumerate(sheet.cells):
            for moment in self._painter.moments(self._painter.complete(cell)):
                if not isinstance(moment, Moment):
                    continue
                finished = moment.index == moment.total
                seen = (moment.x_t if finished else moment.x_0_hat)[0]
                steps += moment.eps_hat is not None
                if finished:
                    pictures = (*done.pictures[:place], seen, *done.pictures[place + 1 :])
                    done = replace(done, pictures=pictures)
                    yield done
                yield SheetMoment(place, steps, moment.t, seen, finished)


@dataclass(frozen=True)
class _Found:
    """What is kept of a completed cell, without its model."""

    recipe: Recipe
    info: ModelInfo
    guided: int
    stamps: tuple[Stamp, ...]

    @classmethod
    def of(cls, run: LoadedRun[Recipe]) -> "_Found":
        recipe, info = run.request, run.model.info
        guided = recipe.guided_of(recipe.timesteps(info.num_train_timesteps))
        return cls(recipe, info, guided, run.stamps)

    def called(self, label: AxisValue) -> AxisValue:
        """Return a class's name, by which it is known whatever its number."""
        number = self.info.label_of(label)  # type: ignore[arg-type]  # no class is a float
        return label if number is None else self.info.labels[number]
