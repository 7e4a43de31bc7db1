"""The folder of a page without a server: network, schedule, examples, runtime, scripts, styles."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final

from app import __version__
from app.diffusion.schedule import NoiseSchedule
from app.errors import ModelError
from app.files import remove, replaced_folder
from app.images.encoding import jpeg_bytes
from app.images.pixels import evenly_spaced
from app.models.files import ModelFiles, describe
from app.models.loading import load_unet, schedule_of
from app.models.stages import StageFiles, check_enlarges, low_res_schedule
from app.painting.film import FilmResult, film_sheet
from app.painting.painter import Painter
from app.painting.recipe import MAX_STEPS, Recipe
from app.settings import ASSETS
from app.static.network import ExportedNetwork, export_network
from app.static.runtime import BACKENDS, unpack

SAMPLERS: Final = ("dpm-solver-sde", "ddpm", "ddim")
"""The samplers of assets/static/diffusion.js; the first is the page's choice."""

STEPS: Final = 50
EXAMPLE_SEEDS: Final = (43, 16, 27, 33, 52, 31)
FILM_MOMENTS: Final = 33

_STYLES: Final = (
    *("page.css", "components/player.css", "components/labs.css", "components/present.css"),
    *("components/tour.css", "components/print.css"),
    *("noise/noise.css", "mix/mix.css", "static/static.css"),
)
_SCRIPTS: Final = (
    *("components/present.js", "components/tour.js"),
    *("components/film.js", "components/player_view.js"),
    *("components/core.js", "components/runs.js", "components/address.js", "components/seed.js"),
    *("components/player_controls.js", "components/player.js", "components/examples.js"),
    *("components/time.js", "components/picker.js", "components/working.js"),
    *("components/plot_values.js", "components/plots.js", "components/keyboard.js"),
    *("noise/noise.js", "mix/mix.js", "static/form.js", "static/labs.js", "static/page.js"),
)
"""The studio's own scripts, which share one scope as they do on its page, and this page's."""

_MODULES: Final = ("diffusion.js", "stage.js", "recipe.js", "network.js", "worker.js")

_README: Final = """\
---
title: Plein Air
emoji: 🎨
colorFrom: blue
colorTo: green
sdk: static
app_file: index.html
pinned: false
license: apache-2.0
short_description: Paint with a diffusion model in your own browser
tags:
  - diffusion
  - ddpm
  - education
custom_headers:
  cross-origin-embedder-policy: require-corp
  cross-origin-opener-policy: same-origin
  cross-origin-resource-policy: cross-origin
---

# Plein Air, without a server

A denoising diffusion model, {summary}, that paints in the visitor's own browser. What is opened
there never leaves the machine, and nothing is loaded from another host.

- On this machine: `python serve.py`, which needs nothing but Python 3. `python -m http.server`
  works too, with one thread where `serve.py` lets the browser use several.
- For others: any web server; or `hf upload OWNER/NAME . . --type space` as a static Space, whose
  headers for threads stand above.

`runtime/` is onnxruntime-web by Microsoft under the MIT licence. {code}
"""


def write_site(
    folder: Path,
    painter: Painter,
    model: ModelFiles,
    stage: StageFiles | None,
    *,
    runtime: Path,
    code: str = "",
) -> bool:
    """Write the page to `folder`, which is replaced whole.

    Args:
        folder: Where it goes.
        painter: Paints its examples.
        model: The model that paints there.
        stage: The second stage, if there is to be one.
        runtime: The checked tarball of onnxruntime-web.
        code: The address of the full studio's code, for a link; empty for none.

    Returns:
        Whether weights were rounded: then pictures differ a little from those painted elsewhere.

    Raises:
        ModelError: If the model or the stage can't be used.
        StudioError: If onnx isn't installed.
    """
    info = describe(model)
    if info.latent:
        raise ModelError(
            f"{info.id} can't paint in a browser: it diffuses latents, and the page has no "
            "autoencoder.",
            "Choose a model that diffuses pictures.",
        )
    if stage:
        check_enlarges(info)
    old = folder.exists()
    with replaced_folder(folder.with_name(f"{folder.name}.new") if old else folder) as new:
        card = _card(painter, model, stage, new) | {"code": code}
        (new / "card.json").write_text(json.dumps(card), encoding="utf-8")
        unpack(runtime, new / "runtime")
        _write_page(new)
        code_words = f"The full studio: {code}" if code else ""
        readme = _README.format(summary=info.summary, code=code_words)
        (new / "README.md").write_text(readme, encoding="utf-8")
        shutil.copy(Path(__file__).with_name("serve.py"), new / "serve.py")
    if old:
        remove(folder)
        folder.with_name(f"{folder.name}.new").rename(folder)
    return any(card[name]["rounded"] for name in ("network", "stage") if card[name])


def _write_page(folder: Path) -> None:
    for name in ("index.html", *_MODULES):
        shutil.copy(ASSETS / "static" / name, folder / name)
    read = {name: (ASSETS / name).read_text(encoding="utf-8") for name in (*_STYLES, *_SCRIPTS)}
    (folder / "studio.css").write_text("\n".join(read[name] for name in _STYLES), encoding="utf-8")
    night = (ASSETS / "page.js").read_text(encoding="utf-8")
    scripts = "\n".join(read[name] for name in _SCRIPTS)
    (folder / "studio.js").write_text(f"{night}\n(() => {{\n{scripts}\n}})();\n", encoding="utf-8")


def _card(
    painter: Painter, model: ModelFiles, stage: StageFiles | None, folder: Path
) -> dict[str, Any]:
    """Write the networks and the examples, and return what the page has to know."""
    info = describe(model)
    T, label = info.num_train_timesteps, None
    if info.labels:
        label = 0 if info.null_label is None else info.null_label
    (folder / "model").mkdir()
    network = export_network(load_unet(model), info.size, info.channels, t=T // 2, label=label)
    return {
        "model": info.id,
        "weights": model.weights_sha256,
        "summary": info.summary,
        "size": info.size,
        "channels": info.channels,
        "labels": info.labels,
        "null_label": info.null_label,
        "version": __version__,
        "samplers": SAMPLERS,
        "steps": min(STEPS, T),
        "most_steps": min(MAX_STEPS, T),
        "backends": BACKENDS,
        "network": _network(model, network, folder, "network"),
        "stage": _stage(stage, info.size, folder) if stage else None,
        "examples": _examples(painter, info.id, info.some_label, min(STEPS, T), folder),
    }


def _network(
    files: ModelFiles, network: ExportedNetwork, folder: Path, name: str
) -> dict[str, Any]:
    (folder / "model" / f"{name}.onnx").write_bytes(network.onnx)
    check = b"".join(part.astype("<f4").tobytes() for part in network.check)
    (folder / "model" / f"{name}-check.bin").write_bytes(check)
    _, given, side, _ = network.check[0].shape
    return {
        "file": f"model/{name}.onnx",
        "bytes": len(network.onnx),
        "sha256": hashlib.sha256(network.onnx).hexdigest(),
        "rounded": network.rounded,
        "check": f"model/{name}-check.bin",
        "t": network.t,
        "label": network.label,
        "side": side,
        "given": given,
        "target": files.scheduler_config["prediction_type"],
        "alphas_cumprod": _table(schedule_of(files)),
    }


def _stage(stage: StageFiles, side: int, folder: Path) -> dict[str, Any]:
    bands, T = stage.bands, stage.scheduler_config["num_train_timesteps"]
    network = export_network(load_unet(stage), side, len(bands.std), t=T // 2, label=0)
    return _network(stage, network, folder, "stage") | {
        "id": stage.id,
        "weights": stage.weights_sha256,
        "std": bands.std,
        "s_noise": bands.s_noise,
        "low_res_noise": bands.low_res_noise,
        "low_res_alphas_cumprod": _table(low_res_schedule())[: bands.low_res_noise],
        "most_steps": T,
    }


def _table(schedule: NoiseSchedule) -> list[float]:
    """Return alpha_bar at each t; JSON writes a double so that it is read back bit for bit."""
    return [float(value) for value in schedule.alphas_cumprod.double()]


def _examples(
    painter: Painter, model: str, label: int | None, steps: int, folder: Path
) -> list[dict[str, Any]]:
    """Paint the runs that the page opens with, each with its recipe inside and a film beside."""
    (folder / "examples").mkdir()
    chosen = {"model": model, "label": label, "sampler": SAMPLERS[0], "steps": steps}
    asked = [Recipe.checked(chosen | {"seed": seed}) for seed in EXAMPLE_SEEDS]
    return [_example(painter.films.pictures(painter.complete(it))[0], folder) for it in asked]


def _example(result: FilmResult[Recipe], folder: Path) -> dict[str, Any]:
    at = evenly_spaced(FILM_MOMENTS, len(result.film))
    moments = [result.film[i] for i in at]
    picture, film = f"examples/{result.name}.png", f"examples/{result.name}.jpg"
    (folder / picture).write_bytes(result.png())
    (folder / film).write_bytes(jpeg_bytes(film_sheet(moments, 0), 80))
    return {
        "picture": picture,
        "film": film,
        "recipe": json.loads(result.request.to_json()),
        "frames": [
            {"i": m.index, "t": m.t, "signal": m.signal, "snr_db": m.snr_db if m.t else None}
            for m in moments
        ],
    }
