"""What a scheduler's file says is followed or refused, never skipped."""

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from app.errors import ModelError
from app.models.files import ModelFiles
from app.models.loading import schedule_of
from app.models.schedulers import DDPM, TRAINED_AS_DDPM, defaults
from app.models.store import ModelStore

GOOGLE: dict[str, dict[str, Any]] = {
    # As google/ddpm-* have them, which diffusers 0.1.1 wrote.
    name: {
        "_class_name": DDPM,
        "_diffusers_version": "0.1.1",
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "beta_start": 0.0001,
        "clip_sample": True,
        "num_train_timesteps": 1000,
        "trained_betas": None,
        "variance_type": variance,
    }
    for name, variance in (("cifar10-32", "fixed_large"), ("church-256", "fixed_small"))
}


@pytest.fixture
def folder(model_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_root / "tiny", tmp_path / "tiny"))


def write(folder: Path, **fields: object) -> ModelFiles:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(fields))
    return ModelFiles("tiny", folder)


@pytest.mark.parametrize("name", GOOGLE)
def test_the_first_models_are_followed(folder: Path, name: str) -> None:
    files = write(folder, **GOOGLE[name])
    scheduler: Any = diffusers.DDPMScheduler()
    theirs = scheduler.alphas_cumprod.double()
    assert torch.allclose(schedule_of(files).alphas_cumprod, theirs, rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in TRAINED_AS_DDPM if "SDE" not in n])
def test_defaults_read_in_the_source_are_those_of_the_class(name: str) -> None:
    fields = inspect.signature(getattr(diffusers, name).__init__).parameters
    assert dict(defaults(name)) == {
        field: it.default for field, it in fields.items() if field != "self"
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers' own
@pytest.mark.parametrize("name", [n for n in TRAINED_AS_DDPM if "SDE" not in n])
def test_what_is_left_out_is_the_classs_default(folder: Path, name: str) -> None:
    scheduler = getattr(diffusers, name)()
    theirs = scheduler.alphas_cumprod.double()
    for fields in ({"_class_name": name}, json.loads(scheduler.to_json_string())):
        ours = schedule_of(write(folder, **fields)).alphas_cumprod
        assert torch.allclose(ours, theirs, rtol=1e-4)


def test_the_sde_solvers_defaults_are_its_own(folder: Path) -> None:
    files = write(folder, _class_name="DPMSolverSDEScheduler", noise_sampler_seed=None)
    assert files.scheduler_config["beta_end"] == 0.012


@pytest.mark.parametrize(
    "name",
    [
        *("CMStochasticIterativeScheduler", "EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler"),
        *("ScoreSdeVeScheduler", "KarrasVeScheduler", "LCMScheduler", "VQDiffusionScheduler"),
    ],
)
def test_another_process_is_refused_by_its_name(folder: Path, name: str) -> None:
    write(folder, _class_name=name, num_train_timesteps=40)
    store = ModelStore([folder.parent])
    assert store.list() == ()
    with pytest.raises(ModelError, match=f"its scheduler is a {name}"):
        store.load("tiny")


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        (DDPM, "rescale_betas_zero_snr", True),
        (DDPM, "clip_sample_range", 2.0),
        (DDPM, "thresholding", True),
        (DDPM, "variance_type", "learned"),
        (DDPM, "variance_type", "learned_range"),
        (DDPM, "steps_offset", 1),
        (DDPM, "predict_epsilon", False),
        (DDPM, "sigma_min", 0.002),
        (DDPM, "a_field_of_tomorrow", 1),
        ("DDIMScheduler", "set_alpha_to_one", False),
        ("EulerDiscreteScheduler", "timestep_type", "continuous"),
        ("UniPCMultistepScheduler", "use_flow_sigmas", True),
        ("DPMSolverMultistepScheduler", "use_karras_sigmas", True),
    ],
)
def test_what_is_not_followed_is_refused_by_its_name(
    folder: Path, name: str, field: str, value: object
) -> None:
    write(folder, _class_name=name, **{field: value})
    store = ModelStore([folder.parent])
    assert store.list() == ()
    with pytest.raises(ModelError, match=f"its scheduler's {field} is {value!r}"):
        store.load("tiny")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clip_sample", False),
        ("timestep_spacing", "trailing"),
        ("variance_type", "fixed_large"),
        ("a_field_of_tomorrow", None),
        ("predict_epsilon", True),
        ("tensor_format", "pt"),
        ("dynamic_thresholding_ratio", 0.99),
        ("clip_sample_range", 1),
    ],
)
def test_what_changes_nothing_passes(folder: Path, field: str, value: object) -> None:
    write(folder, _class_name=DDPM, **{field: value})
    assert [info.id for info in ModelStore([folder.parent]).list()] == ["tiny"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers' own
@pytest.mark.parametrize("first", [DDPM, "DDIMScheduler", "EulerDiscreteScheduler"])
@pytest.mark.parametrize("name", ["HeunDiscreteScheduler", "UniPCMultistepScheduler", DDPM])
def test_what_stays_of_the_scheduler_before_passes_at_its_default(
    folder: Path, first: str, name: str
) -> None:
    stored = json.loads(getattr(diffusers, first)().to_json_string())
    fields = json.loads(getattr(diffusers, name).from_config(stored).to_json_string())
    assert schedule_of(write(folder, **fields)).num_train_timesteps == 1000
    with pytest.raises(ModelError, match="clip_sample_range is 2"):
        _ = write(folder, **fields | {"clip_sample_range": 2.0}).scheduler_config


def test_a_learned_variance_is_followed_where_the_network_has_one(
    model_root: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_root / "learned", tmp_path / "learned"))
    write(folder, _class_name=DDPM, variance_type="learned_range")
    assert ModelStore([tmp_path]).describe("learned").learned_variance


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"vqvae": ["diffusers", "VQModel"]}, "no folder 'vqvae', its autoencoder's"),
        ({"bert": ["ldm", "Bert"]}, "a part called 'bert'"),
        ({"text_encoder": ["transformers", "CLIPTextModel"]}, "a part called 'text_encoder'"),
    ],
)
def test_a_pipeline_with_other_parts_is_refused(
    folder: Path, parts: dict[str, object], reason: str
) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | parts))
    store = ModelStore([folder.parent])
    assert store.list() == ()
    with pytest.raises(ModelError, match=reason):
        store.load("tiny")
