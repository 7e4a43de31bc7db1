"""Where the studio runs, and what training is like there."""

import json
import shlex
from collections.abc import Mapping

from app.service.jobs.plan import PRESETS
from app.service.limits import TILE, Limits
from app.service.uploads import FITS
from app.settings import Settings


def place_words(
    settings: Settings,
    name: str = "",
    model: str = "",
    preset: str = "",
    fit: str = "",
    changes: Mapping[str, object] | None = None,
) -> str:
    """What a person has to know before they train here, as Markdown; empty at home.

    Args:
        settings: Where the studio runs.
        name: What they call the job that they are about to start.
        model: Its base model; the default model if empty.
        preset: How long it is to take; the shortest if empty.
        fit: How a picture becomes square; the first way if empty.
        changes: Settings that differ from the preset's.
    """
    share = _share(Limits.of(settings))
    if settings.zero_gpu:
        words = (
            "**Nothing can be trained on ZeroGPU**: it lends its GPU for moments, and a training "
            "takes minutes to days. The same job runs on any machine of your own:"
        )
    elif settings.space_id:
        words = (
            "**This is a Space.** It has two processors for all its visitors, and forgets pictures "
            "and jobs when it sleeps or restarts, unless storage is attached: train a taste here, "
            f"and download the model when it is done. {share} Longer jobs run on a machine of your "
            "own:"
        )
    else:
        return share
    commands = (
        f"git clone https://huggingface.co/spaces/{settings.space_id} plein-air\n"
        "cd plein-air && make run    # then, in another terminal:\n"
        f".venv/bin/python -m app jobs start {shlex.quote(name or 'my pictures')} \\\n"
        f"    --data pictures.zip --init {shlex.quote(model or settings.default_model)} "
        f"--preset {preset or PRESETS[0]} --fit {fit or FITS[0]}"
        f"{''.join(_option(*change) for change in (changes or {}).items())}"
    )
    # A name's own backticks would end the block.
    return f"{words}\n\n```\n{commands.replace('`', '')}\n```"


def _share(limits: Limits) -> str:
    most = []
    if limits.jobs_per_visitor:
        jobs = limits.jobs_per_visitor
        most.append(f"{jobs} training{'s' if jobs > 1 else ''} at a time")
    if limits.training_views:
        most.append(f"steps times batch of {limits.training_views:,} with pictures of {TILE} px")
    return f"Each visitor has at most {' and '.join(most)} here." if most else ""


def _option(setting: str, value: object) -> str:
    return f" \\\n    --set {shlex.quote(f'{setting}={json.dumps(value)}')}"
