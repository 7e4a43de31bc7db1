"""The studio from a shell, as a person types it."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from PIL import Image

from app.painting.recipe import read_recipe
from app.settings import BUNDLED_MODELS, ROOT
from tests.holes import save_picture_and_mask


def run(
    *arguments: str, models: Path | None = None, module: str = "app"
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "", "HOME": "", "LANG": "C.UTF-8", "HF_HUB_OFFLINE": "1"}
    environment |= {"PLEIN_AIR_MODELS": str(models)} if models else {}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_paint_writes_pngs_with_recipes_strips_and_animations(
    model_root: Path, tmp_path: Path
) -> None:
    done = run(
        "paint", "--model", "tiny", "--steps", "5", "--seed", "3", "--count", "2",
        "--sampler", "ddpm", "--strip", "--animation", "--out", str(tmp_path), models=model_root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in tmp_path.iterdir())
    stems = [f"tiny-ddpm-5-seed-{seed}" for seed in (3, 4)]
    assert names == sorted(s + end for s in stems for end in (".png", "-strip.png", ".gif"))
    first = tmp_path / f"{stems[0]}.png"
    assert read_recipe(first.read_bytes()).seed == 3

    again = tmp_path / "again"
    assert (
        run("paint", "--recipe", str(first), "--out", str(again), models=model_root).returncode == 0
    )
    assert (again / first.name).read_bytes() == first.read_bytes()


@pytest.mark.slow
def test_paint_starts_from_a_picture_and_paints_a_part_anew(
    model_root: Path, tmp_path: Path
) -> None:
    source, mask, pixels, white = save_picture_and_mask(tmp_path)
    wish = ("paint", "--model", "tiny", "--steps", "4", "--from", str(source), "--out")
    out = tmp_path / "out"
    sketch = run(*wish, str(out), "--start-t", "500", "--sketch", models=model_root)
    assert sketch.returncode == 0, sketch.stderr
    hole = ("--mask", str(mask), "--careful", "2", "--size", "64", "--stage-steps", "2")
    done = run(*wish, str(out), *hole, models=model_root)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "tiny-dpm-solver-sde-4-seed-0-inpainted-64px-0.png",
        "tiny-dpm-solver-sde-4-seed-0-picture-500.png",
    ]
    painted = out / "tiny-dpm-solver-sde-4-seed-0-inpainted-64px-0.png"
    assert read_recipe(painted.read_bytes()).resampling == 2
    with Image.open(painted) as image:
        kept = np.asarray(image)[white == 0]
    assert kept.tobytes() == pixels[white == 0].tobytes()
    for blank, reason in ((white * 0, "mask is empty"), (white * 0 + 255, "covers everything")):
        Image.fromarray(blank).save(mask)
        assert reason in run(*wish, str(out), "--mask", str(mask), models=model_root).stderr
    Image.new("L", (63, 64), 255).save(mask)
    assert "63 x 64 pixels" in run(*wish, str(out), "--mask", str(mask), models=model_root).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("paint", "--mask", "LICENSE"), "A mask is about a picture"),
        (("paint", "--start-t", "300"), "are about a source, and there is none"),
        (("paint", "--from", "assets/strip.png"), "a source needs a start_t"),
        (("paint", "--from", "LICENSE", "--start-t", "300"), "no picture that can be read"),
        (("paint", "--model", "nobody"), "no model 'nobody'"),
        (("paint", "--steps", "0"), "at least 1"),
        (("paint", "--sampler", "magic"), "no sampler 'magic'"),
        (("paint", "--steps", "many"), "Invalid value for '--steps'"),
        (("paint", "--recipe", "LICENSE"), "no PNG"),
        (("paint", "--recipe", "missing.png"), "missing.png"),
        (("paint", "--class", "Monet"), "impressionist-64 has no classes"),
        (("paint", "--class", "Monet", "--label", "1"), "The class is said twice"),
        (("dance",), "No such command 'dance'"),
    ],
)
def test_a_wrong_word_gets_an_answer_and_no_traceback(
    arguments: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    out = ("--out", str(tmp_path / "out")) if arguments[0] == "paint" else ()
    done = run(*arguments, *out)
    assert done.returncode != 0
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_models_lists_the_bundled_ones_and_the_users(model_root: Path) -> None:
    lines = run("models", models=model_root).stdout.splitlines()
    latent = "impressionist-128-latent · 128 px, latent · 13.5 M · sha256 "
    assert lines[0].startswith(latent)
    assert lines[1].startswith("impressionist-64 · 64 px · 12.0 M · sha256 ")
    assert lines[2].startswith("impressionist-64-painters · 64 px · 12.0 M · sha256 ")
    assert [line.split()[0] for line in lines[3:]] == ["classes", "learned", "tiny"]


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys, app.__main__ as shell\n"
        "try: shell.main(sys.argv[1:])\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    for command in ((), ("train",), ("jobs",), ("preflight",)):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "Usage: " in done.stdout) == (0, True), command


@pytest.mark.slow
def test_paint_gives_the_picture_of_diffusers_own_pipeline(tmp_path: Path) -> None:
    """Given the same noise, to within 1/255: exact precision, DDPM, leading spacing."""
    done = run(
        "paint", "--sampler", "ddpm", "--steps", "20", "--spacing", "leading", "--seed", "11",
        "--out", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pipeline = DDPMPipeline.from_pretrained(BUNDLED_MODELS / "impressionist-64")
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(11)
    theirs = pipeline(num_inference_steps=20, generator=generator, return_dict=False)[0][0]
    ours = Image.open(tmp_path / "impressionist-64-ddpm-20-seed-11.png")
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


@pytest.mark.slow
def test_bench_prints_ratios_and_what_the_page_costs(model_root: Path) -> None:
    few = ("--model", "tiny", "--steps", "2", "--rounds", "1", "--paintings", "1")
    done = run("base", *few, models=model_root, module="tools.bench")
    assert done.returncode == 0, done.stderr
    for name in ("diffusers", "exact", "fast"):
        rows = [line.split() for line in done.stdout.splitlines() if line.startswith(name)]
        assert len(rows) == 2
        assert all(float(row[1].removesuffix("x")) > 0 for row in rows)
    done = run("page", *few, models=model_root, module="tools.bench")
    assert done.returncode == 0, done.stderr
    for figure in ("s after its start", "ms after the click", "of the time", "memory"):
        assert figure in done.stdout


ENTRIES = pytest.mark.parametrize("entry", [("app.py",), ("-m", "app", "serve")])


def serve(entry: tuple[str, ...], port: object, data: Path) -> subprocess.CompletedProcess[str]:
    """Try to open the page on a port that can't be had."""
    environment = {"PATH": "", "GRADIO_SERVER_PORT": str(port), "PLEIN_AIR_DATA": str(data)}
    return subprocess.run(
        [sys.executable, *entry],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@ENTRIES
def test_a_setting_that_cant_be_used_is_named_in_two_lines(
    entry: tuple[str, ...], tmp_path: Path
) -> None:
    done = serve(entry, "abc", tmp_path)
    said = "GRADIO_SERVER_PORT is 'abc'.\nSet it to a whole number from 1 to 65535.\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.slow
@ENTRIES
def test_a_port_that_is_taken_is_named_in_two_lines(entry: tuple[str, ...], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = serve(entry, port, tmp_path)
    assert done.returncode == 1
    what, hint = done.stderr.splitlines()
    assert what == f"The page can't be served at 127.0.0.1:{port}."
    assert "GRADIO_SERVER_PORT" in hint


@ENTRIES
def test_on_zero_gpu_spaces_comes_before_torch(tmp_path: Path, entry: tuple[str, ...]) -> None:
    """The real one can't be imported after anything has asked torch for a GPU."""
    (tmp_path / "spaces.py").write_text(
        "import sys\nsys.exit('late' if 'torch' in sys.modules else 'first')\n"
    )
    done = subprocess.run(
        [sys.executable, *entry],
        cwd=ROOT,
        env={"PATH": "", "SPACES_ZERO_GPU": "true", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == "first"
