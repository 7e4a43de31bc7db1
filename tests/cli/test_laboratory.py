"""The laboratories from a shell, as a person types them."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.__main__ import main
from app.laboratory.experiments import (
    BoundRequest,
    Denoising,
    ForwardStrip,
    Grid,
    Mixing,
    PosteriorStep,
    read_experiment,
)
from app.laboratory.sheet_experiment import Sheet
from app.settings import ROOT
from tests.conftest import save_tiny_model, set_timesteps


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    coarse = np.random.default_rng(0).integers(0, 256, (3, 5, 3)).astype(np.uint8)
    path = tmp_path / "photograph.jpg"
    Image.fromarray(coarse).resize((50, 30)).save(path)
    return path


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def app(
    model_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """`python -m app ... --model tiny`, in this process: a new one loads torch for seconds."""
    monkeypatch.setenv("PLEIN_AIR_MODELS", str(model_root))

    def run(*arguments: str) -> Done:
        model = () if "--model" in arguments else ("--model", "tiny")
        with pytest.raises(SystemExit) as end:
            main([*arguments, *model])
        seen = capsys.readouterr()
        return Done(int(end.value.code or 0), seen.out, seen.err)

    return run


def test_pictures_are_enlarged_each_under_its_own_name(
    app: Command, photograph: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    same_name = photograph.rename(tmp_path / "other" / photograph.name)
    Image.new("RGB", (20, 20), "green").save(photograph)
    out = tmp_path / "out"
    words = (str(photograph), str(same_name), "seed:3")
    done = app(
        "enlarge", *words, "--stage-steps", "2", "--stage-seed", "8", "--variations", "2",
        "--out", str(out),
    )  # fmt: skip
    assert done.code == 0
    assert "brought to 16 px first" in done.err
    assert names(out) == {
        f"{stem}-64px-{seed}.png"
        for stem in ("photograph", "photograph-1", "seed-3")
        for seed in (8, 9)
    }
    png = (out / "photograph-64px-9.png").read_bytes()
    experiment = read_experiment(png)
    assert isinstance(experiment, Denoising)
    assert (experiment.t, experiment.run.size, experiment.run.picture) == (0, 64, 1)
    with Image.open(out / "photograph-64px-9.png") as large:
        assert large.size == (64, 64)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_noise_does_all_its_experiments_on_a_photograph(
    app: Command, photograph: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = app(
        "noise", str(photograph), "--out", str(out), "--schedules", "--chain", "100",
        "--inspect", "100", "--denoise", "100", "--variations", "1", "--steps", "20",
        "--moments", "4", "--animation",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "L_T = " in done.out
    assert names(out) == {
        "tiny-noising-seed-0.png", "tiny-noising-seed-0.gif", "tiny-schedules.csv",
        "tiny-linear.png", "tiny-scaled_linear.png", "tiny-cosine.png", "tiny-sigmoid.png",
        "tiny-chain-100.png", "tiny-posterior-100.png", "tiny-denoising-100-seed-0.png",
        "tiny-denoising-100-seed-0-strip.png",
    }  # fmt: skip
    rows = list(csv.DictReader((out / "tiny-schedules.csv").read_text().splitlines()))
    assert {row["schedule"] for row in rows} == {"linear", "scaled_linear", "cosine", "sigmoid"}
    assert float(rows[0]["alpha_bar"]) == pytest.approx(1 - 1e-4)


def test_mix_writes_a_mixture_a_grid_and_morphs(
    app: Command, photograph: Path, tmp_path: Path
) -> None:
    common = (str(photograph), "seed:3", "--steps", "8", "--rule", "slerp", "--out", str(tmp_path))
    single = app("mix", *common, "--t", "250", "--mix", "0.25")
    assert single.code == 0, single.err
    assert "variance_kept" in single.out
    mixing = read_experiment((tmp_path / "tiny-mixing-250-seed-0.png").read_bytes())
    assert isinstance(mixing, Mixing)
    assert (mixing.mix, mixing.rule, mixing.t) == (0.25, "slerp", 250)

    grid = app("mix", *common, "--grid")
    assert grid.code == 0, grid.err
    # 36 of the grid and the 50 that paint seed 3.
    assert "86 network steps, about" in grid.out
    written = read_experiment((tmp_path / "tiny-grid-slerp-ddpm-8-seed-0.png").read_bytes())
    assert isinstance(written, Grid)

    seeds = ("seed:3", "seed:4", "--steps", "2", "--out", str(tmp_path), "--seed-morph", "3")
    assert app("mix", *seeds).code == 0
    assert {"tiny-seed-morph-3-4.gif", "tiny-seed-morph-3-4-strip.png"} <= names(tmp_path)


@pytest.mark.parametrize(
    ("words", "written", "side"),
    [
        (("noise", "--denoise", "100"), "tiny-denoising-100-seed-0-64px-5.png", 64),
        (("mix", "seed:3"), "tiny-mixing-500-seed-0-64px-5.png", 64),
        (("mix", "seed:3", "--morph", "3"), "tiny-morph-variance_kept-500-seed-0-64px-5.gif", 256),
    ],
)
def test_what_the_laboratories_leave_is_enlarged_where_a_size_is_asked_for(
    app: Command, tmp_path: Path, words: tuple[str, ...], written: str, side: int
) -> None:
    command, *rest = words
    done = app(
        command, "seed:2", *rest, "--steps", "4", "--variations", "1", "--size", "64",
        "--stage-steps", "2", "--stage-seed", "5", "--out", str(tmp_path),
    )  # fmt: skip
    assert done.code == 0, done.err
    with Image.open(tmp_path / written) as picture:
        assert picture.size == (side, side)


def test_a_model_with_classes_is_told_which(app: Command, photograph: Path, tmp_path: Path) -> None:
    to = ("--model", "classes", "--class", "River", "--out", str(tmp_path))
    noise = app("noise", "seed:1", "--inspect", "9", "--denoise", "9", "--steps", "9", *to)
    assert noise.code == 0, noise.err
    mix = app("mix", str(photograph), "seed:2", "--t", "9", "--steps", "9", *to)
    assert mix.code == 0, mix.err
    bound = app("bound", str(photograph), "--terms", "2", "--model", "tiny", *to)
    assert bound.code == 0, bound.err
    found = [read_experiment(path.read_bytes()) for path in tmp_path.glob("*.png")]
    labels = [
        it.run.label if isinstance(it, Denoising | Mixing) else it.label
        for it in found
        if isinstance(it, Denoising | Mixing | PosteriorStep)
    ]
    assert {type(it) for it in found} == {
        ForwardStrip,
        PosteriorStep,
        Denoising,
        Mixing,
        BoundRequest,
    }
    assert set(labels) == {1}
    (bounding,) = (it for it in found if isinstance(it, BoundRequest))
    assert [it.label for it in bounding.each] == [None, 1]
    elsewhere = str(tmp_path / "elsewhere")
    refused = app("noise", str(photograph), "--inspect", "9", "--label", "1", "--out", elsewhere)
    assert "no classes" in refused.err


def test_what_isnt_said_is_within_the_models_t(
    app: Command, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timesteps(save_tiny_model(tmp_path / "models" / "short"), 30)
    monkeypatch.setenv("PLEIN_AIR_MODELS", str(tmp_path / "models"))
    how, picture = ("--model", "short", "--out", str(tmp_path / "out")), str(photograph)
    for arguments in (("paint",), ("mix", picture, picture), ("noise", picture, "--denoise", "30")):
        assert app(*arguments, *how).code == 0
    (mixed,) = (tmp_path / "out").glob("short-mixing-30-seed-0.png")
    mixing = read_experiment(mixed.read_bytes())
    assert isinstance(mixing, Mixing)
    assert (mixing.t, mixing.run.steps) == (30, 30)
    assert list((tmp_path / "out").glob("short-dpm-solver-sde-30-seed-0.png"))


def test_a_grids_rows_reach_the_models_t_however_short(
    app: Command, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLEIN_AIR_MODELS", str(tmp_path / "models"))
    set_timesteps(save_tiny_model(tmp_path / "models" / "short"), 100)
    out = tmp_path / "out"
    done = app(
        "mix", str(photograph), str(photograph), "--grid", "--rows", "3", "--between", "1",
        "--steps", "2", "--model", "short", "--out", str(out),
    )  # fmt: skip
    assert done.code == 0, done.err
    (grid,) = (read_experiment(path.read_bytes()) for path in out.glob("*.png"))
    assert isinstance(grid, Grid)
    assert (grid.rows, grid.between) == ((0, 50, 100), 1)


def test_bound_writes_a_line_for_every_term(app: Command, photograph: Path, tmp_path: Path) -> None:
    done = app(
        "bound", str(photograph), "--shuffled", "--noise", "--terms", "10",
        "--out", str(tmp_path),
    )  # fmt: skip
    assert done.code == 0, done.err
    figure = read_experiment((tmp_path / "tiny-bound-seed-0.png").read_bytes())
    assert isinstance(figure, BoundRequest)
    assert figure.terms == 10
    assert [s.kind for s in figure.subjects] == ["picture", "shuffled", "noise"]
    rows = list(csv.DictReader((tmp_path / "tiny-bound-seed-0.csv").read_text().splitlines()))
    assert len(rows) == 3 * 12
    assert [row["kind"] for row in rows[::3]] == ["prior", *["step"] * 10, "decoder"]
    last = {row["subject"]: float(row["total"]) for row in rows[-3:]}
    for name, total in last.items():
        assert f"{total:8.4f}" in done.out
        assert name in done.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("noise", "missing.png"), "missing.png can't be opened"),
        (("noise", str(ROOT / "LICENSE")), "no picture that can be read"),
        (("noise", "seed:many"), "names no seed"),
        (("noise", "seed:1", "--moments", "1"), "at least 2"),
        (("noise", "seed:1", "--denoise", "0"), "no noise to take away"),
        (("noise", "seed:1", "--schedule", "magic"), "'linear'"),
        (("noise", "seed:1", "--schedule", "linear", "--beta-end", "0.999"), "can't have betas"),
        (("mix", "seed:1", "seed:2", "--rule", "magic"), "'linear'"),
        (("mix", "seed:1", "seed:2", "--mix", "2"), "at most 1"),
        (("mix", "seed:1", "seed:2", "--sampler", "magic"), "no sampler 'magic'"),
        (("bound", "seed:1", "--variance", "learned"), "did not learn its variance"),
        (("bound", "seed:1", "--terms", "1"), "at least 2"),
        (("bound", "seed:1", "--fit", "stretch"), "stretch"),
    ],
)
def test_a_wrong_word_gets_an_answer_and_no_traceback(
    app: Command, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    out = tmp_path / "out"
    done = app(*arguments, "--out", str(out))
    assert done.code != 0
    assert reason in done.err
    assert "Traceback" not in done.err
    assert not out.exists()


def test_sheet_paints_the_same_seed_side_by_side(app: Command, tmp_path: Path) -> None:
    out = ("--seed", "3", "--out", str(tmp_path))
    done = app("sheet", "--rows", "steps=2,3", "--columns", "sampler=ddpm,ddim", *out)
    assert done.code == 0, done.err
    assert "10 network steps, about" in done.out
    (path,) = tmp_path.iterdir()
    assert path.name == "tiny-sheet-steps-sampler-seed-3.png"
    sheet = read_experiment(path.read_bytes())
    assert isinstance(sheet, Sheet)
    assert [cell.steps for cell in sheet.cells] == [2, 2, 3, 3]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [("steps", "'steps' names no values"), ("steps=2,few", "'few' is no value of steps")],
)
def test_a_sheets_bad_values_are_named(app: Command, rows: str, reason: str) -> None:
    done = app("sheet", "--rows", rows)
    assert done.code == 1
    assert reason in done.err
