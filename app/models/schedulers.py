"""Schedulers of diffusers: which training processes are this studio's, and what of them it follows.

Where a field is left out its value is the default of the class that the file names. A field that
the studio doesn't follow may have that default, or null, and no other value. A field that the class
doesn't have stays behind where one scheduler was made from another's configuration: it may have the
default of any class that has it.
"""

import ast
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

DDPM: Final = "DDPMScheduler"

TRAINED_AS_DDPM: Final = (
    *(DDPM, "DDPMParallelScheduler", "DDIMScheduler", "DDIMParallelScheduler", "PNDMScheduler"),
    *("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DPMSolverSDEScheduler"),
    *("UniPCMultistepScheduler", "DEISMultistepScheduler", "SASolverScheduler"),
    *("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler"),
    *("HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"),
)
"""The classes whose networks are trained on x_t of a schedule of betas."""

FOLLOWED: Final = (
    *("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "trained_betas"),
    "prediction_type",
)
CHOSEN: Final = ("clip_sample", "timestep_spacing")
"""Fields that a recipe says anew for each picture."""

VARIANCES: Final = ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log")

LEFTOVERS: Final = {"predict_epsilon": True, "tensor_format": "pt", "timestep_values": None}
"""Fields of schedulers in old versions of diffusers, with what they have to be."""

_WITHOUT_EFFECT: Final = ("dynamic_thresholding_ratio", "sample_max_value")
"""Fields that say how `thresholding` is done, which has to be off."""


@cache
def defaults(name: str) -> Mapping[str, Any]:
    """Return the fields of a class in TRAINED_AS_DDPM with their defaults.

    They are read in diffusers' source, for it takes seconds to import and the page only looks here.
    """
    # diffusers has this class only beside torchsde; its fields are the other's, and a seed.
    sde = name == "DPMSolverSDEScheduler"
    arguments = _constructor("KDPM2DiscreteScheduler" if sde else name).args
    fields = [it.arg for it in arguments.args if it.arg != "self"]
    values = map(_value, arguments.defaults)
    found: dict[str, Any] = dict(zip(fields, values, strict=True))
    return MappingProxyType(found | ({"noise_sampler_seed": None} if sde else {}))


def _value(default: ast.expr) -> object:
    # The one that isn't a literal.
    return -inf if ast.unparse(default) == "-float('inf')" else ast.literal_eval(default)


def _constructor(name: str) -> ast.FunctionDef:
    """Parse the constructor of diffusers' scheduler class called `name`."""
    spec = find_spec("diffusers")
    for folder in spec.submodule_search_locations or () if spec else ():
        for file in sorted(Path(folder, "schedulers").glob("scheduling_*.py")):
            source = file.read_text(encoding="utf-8")
            if f"\nclass {name}(" in source:
                classes = (it for it in ast.parse(source).body if isinstance(it, ast.ClassDef))
                body = next(it.body for it in classes if it.name == name)
                methods = (it for it in body if isinstance(it, ast.FunctionDef))
                return next(it for it in methods if it.name == "__init__")
    raise LookupError(f"this diffusers has no {name}")


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a scheduler_config.json by the followed fields that it leaves out.

    Raises:
        ValueError: If its class isn't in TRAINED_AS_DDPM.
    """
    name = config.get("_class_name", DDPM)
    if name not in TRAINED_AS_DDPM:
        raise ValueError(f"its scheduler is a {name}")
    return {field: defaults(name)[field] for field in FOLLOWED} | dict(config)


def check_followed(config: Mapping[str, Any], *, learned_variance: bool) -> None:
    """Check that a scheduler_config.json asks for nothing that the studio doesn't do.

    Args:
        config: The file, of a class in TRAINED_AS_DDPM.
        learned_variance: Whether the network predicts its variance.

    Raises:
        ValueError: If a field has a value that isn't followed; it names the field.
    """
    own = defaults(config.get("_class_name", DDPM))
    known = {*FOLLOWED, *CHOSEN, *_WITHOUT_EFFECT}
    for field, value in config.items():
        if field.startswith("_") or field in known or value is None:
            continue
        if field == "variance_type":
            follows = value in VARIANCES or (value == "learned_range" and learned_variance)
        else:
            sources = [own] if field in own else [LEFTOVERS, *map(defaults, TRAINED_AS_DDPM)]
            follows = any(value == it[field] for it in sources if field in it)
        if not follows:
            raise ValueError(f"its scheduler's {field} is {value!r}")
