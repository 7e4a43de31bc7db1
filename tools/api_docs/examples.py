"""An example call of every endpoint, to read and to run, in Python and with curl."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.ui.endpoints.endpoint import Endpoint

WIDTH: Final = 100


@dataclass(frozen=True)
class Given:
    """A value that an example takes from an earlier one, by name.

    Attributes:
        name: The name of the variable in Python and in the shell.
        file: Whether the value is an uploaded file, a JSON object in the shell, and not a text.
    """

    name: str
    file: bool = False


_PICTURE: Final = Given("picture", file=True)
_PAIR: Final = {"first": _PICTURE, "second": Given("other", file=True)}
_AXES: Final = {
    "rows": "steps",
    "row_values": [10, 50],
    "columns": "sampler",
    "column_values": ["ddpm", "ddim"],
}
_JOB: Final = {"job": Given("job")}

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "paint": {"steps": 50, "seed": 7, "pictures": 2},
    "repaint": {"recipe": '{"model": "impressionist-64", "steps": 20, "seed": 7}'},
    "sheet": {**_AXES, "seed": 7},
    "sheet_time": {**_AXES, "seed": 7},
    "recipe": {"png": _PICTURE},
    "models": {},
    "model_view": {"picture": _PICTURE, "fit": "squash"},
    "noise_strip": {"picture": _PICTURE, "moments": 8},
    "noise_schedules": {"picture": _PICTURE},
    "noise_chain": {"picture": _PICTURE, "t": 100},
    "noise_posterior": {"picture": _PICTURE, "t": 100},
    "denoise": {"picture": _PICTURE, "t": 300, "steps": 100, "variations": 2},
    "enlarge": {"picture": _PICTURE, "stage_seed": 5, "variations": 2},
    "mix": {**_PAIR, "t": 400, "mix": 0.3, "steps": 100},
    "mix_variances": {**_PAIR, "t": 400},
    "mix_grid": {**_PAIR, "rows": [0, 250, 500], "between": 3, "steps": 100},
    "mix_grid_time": {**_PAIR, "rows": [0, 250, 500], "between": 3, "steps": 100},
    "mix_morph": {**_PAIR, "t": 300, "frames": 8, "steps": 100},
    "seed_morph": {"first_seed": 1, "second_seed": 2, "frames": 8, "steps": 50},
    "bound": {"picture": _PICTURE, "terms": 20},
    "bound_weights": {"variance": "fixed_large"},
    "upload_pictures": {"files": [Given("archive", file=True)], "fit": "squash"},
    "picture_sets": {},
    "delete_pictures": {"set_id": Given("set_id")},
    "start_training": {
        "set_id": Given("set_id"),
        "name": "a first try",
        "changes": {"steps": 100, "batch_size": 8},
    },
    "trainings": {},
    "training": _JOB,
    "training_samples": _JOB,
    "training_model": _JOB,
    "training_curves": _JOB,
    "stop_training": _JOB,
    "resume_training": _JOB,
    "extend_training": {**_JOB, "steps": 50},
    "rename_training": {**_JOB, "name": "a second try"},
    "keep_training": _JOB,
    "unkeep_training": _JOB,
    "delete_training": _JOB,
}

_KEPT: Final = {
    "upload_pictures": 'set_id = pictures["id"]',
    "start_training": 'job = training["id"]',
}
"""The lines that keep a part of an answer for later examples."""


def in_python(endpoint: Endpoint) -> str:
    """Write the example's call with gradio_client."""
    given = [f"{name}={_python(value)}" for name, value in EXAMPLES[endpoint.name].items()]
    given.append(f'api_name="/{endpoint.name}"')
    names = ", ".join(result.name for result in endpoint.results)
    call = _folded(f"{names} = client.predict" if names else "client.predict", given)
    return "\n".join([call, *filter(None, [_KEPT.get(endpoint.name)])])


def in_shell(endpoint: Endpoint) -> str:
    """Write the example's two requests with curl: the call, and the fetching of its answer."""
    fields = [f'"{name}": {_shell(value)}' for name, value in EXAMPLES[endpoint.name].items()]
    return (
        f"event=$(curl -s $studio/call/v2/{endpoint.name} -H \"$json\" -d '{{{', '.join(fields)}}}'"
        " | cut -d '\"' -f 4)\n"
        f"curl -sN $studio/call/{endpoint.name}/$event"
    )


def _folded(start: str, given: Sequence[str]) -> str:
    """Write a call, folded as ruff folds it."""
    together = ", ".join(given)
    if len(start) + len(together) + 2 <= WIDTH:
        return f"{start}({together})"
    if len(together) + 4 <= WIDTH:
        return f"{start}(\n    {together}\n)"
    lines = "".join(f"    {each},\n" for each in given)
    return f"{start}(\n{lines})"


def _python(value: Any) -> str:
    if isinstance(value, Given):
        return value.name
    return f"[{', '.join(map(_python, value))}]" if isinstance(value, list) else _literal(value)


def _literal(value: Any) -> str:
    text = repr(value)
    return text if '"' in text else text.replace("'", '"')


def _shell(value: Any) -> str:
    # The request is in single quotes, which are closed around a shell variable.
    if isinstance(value, Given):
        return f"'\"${value.name}\"'" if value.file else f"\"'${value.name}'\""
    return f"[{', '.join(map(_shell, value))}]" if isinstance(value, list) else json.dumps(value)
