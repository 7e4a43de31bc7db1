"""Models are found, described and loaded; broken ones are refused with a reason."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.errors import ModelError, RecipeError
from app.models.files import ModelFiles
from app.models.network_files import CHECKSUMS, WEIGHTS
from app.models.store import MAX_ADOPTED, ModelStore
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.settings import BUNDLED_MODELS
from tests.conftest import save_tiny_model


@pytest.fixture
def root(model_root: Path, tmp_path: Path) -> Path:
    """A folder of our own with one model, `tiny`, to break."""
    shutil.copytree(model_root / "tiny", tmp_path / "tiny")
    return tmp_path


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut_weights(folder: Path) -> None:
    weights = folder / "unet" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])


def cut_header(folder: Path) -> None:
    weights = folder / "unet" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:50])


def not_safetensors(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).write_bytes(b"PK\x03\x04 a zip that says it is safetensors")


def pickle(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).rename(folder / "unet" / "diffusion_pytorch_model.bin")


def no_weights(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).unlink()


def other_checksum(folder: Path) -> None:
    (folder / CHECKSUMS).write_text(f"{'0' * 64}  unet/{WEIGHTS}\n")


def wider(folder: Path) -> None:
    edit(folder / "unet" / "config.json", block_out_channels=[16, 64])


def deeper(folder: Path) -> None:
    edit(folder / "unet" / "config.json", layers_per_block=2)


def other_class(folder: Path) -> None:
    edit(folder / "unet" / "config.json", _class_name="UNet2DConditionModel")


def latent(folder: Path) -> None:
    edit(folder / "unet" / "config.json", in_channels=4, out_channels=4)


def huge(folder: Path) -> None:
    edit(folder / "unet" / "config.json", sample_size=100_000)


def not_json(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("{")


def no_object(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text("[]")


def no_scheduler(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").unlink()


def other_schedule(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", beta_schedule="exp")


def impossible_betas(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", beta_start=2.0)


def flow(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", prediction_type="flow_prediction")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_weights, "truncated"),
        (cut_header, "truncated"),
        (not_safetensors, "truncated or no safetensors"),
        (pickle, "pickle"),
        (no_weights, f"no {WEIGHTS}"),
        (other_checksum, CHECKSUMS),
        (wider, "don't fit"),
        (deeper, "don't fit"),
        (other_class, "UNet2DConditionModel"),
        (latent, "channels"),
        (huge, "sample_size"),
        (not_json, "config.json is no JSON"),
        (no_object, "no JSON object"),
        (no_scheduler, "no scheduler_config.json"),
        (other_schedule, "beta_schedule"),
        (impossible_betas, "noise schedule"),
        (flow, "prediction_type"),
    ],
)
def test_a_broken_model_is_refused_with_the_reason(
    root: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(root / "tiny")
    with pytest.raises(ModelError, match=reason) as caught:
        ModelStore([root]).load("tiny")
    assert "tiny" in caught.value.message
    assert caught.value.hint


def test_a_broken_model_leaves_the_others_as_they_were(root: Path, model_root: Path) -> None:
    store = ModelStore([root, model_root])
    before = store.load("learned")
    cut_weights(root / "tiny")
    with pytest.raises(ModelError):
        store.load("tiny")
    assert store.load("learned") is before
    assert [info.id for info in store.list()] == ["classes", "learned"]


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("unet/config.json", {"num_class_embeds": "10"}, "num_class_embeds is not a whole number"),
        ("unet/config.json", {"num_class_embeds": 10**9}, "num_class_embeds .* at most 10000"),
        ("unet/config.json", {"sample_size": [16, 24]}, "sample_size is not a whole number"),
        ("unet/config.json", {"block_out_channels": "wide"}, "block_out_channels"),
        ("unet/config.json", {"layers_per_block": 10**9}, "layers_per_block .* at most 32"),
        ("scheduler/scheduler_config.json", {"beta_schedule": ["linear"]}, "beta_schedule"),
        ("scheduler/scheduler_config.json", {"prediction_type": {}}, "prediction_type"),
        ("scheduler/scheduler_config.json", {"beta_end": "0.02"}, "beta_end is not a number"),
        (
            "scheduler/scheduler_config.json",
            {"num_train_timesteps": 10**10},
            "num_train_timesteps .* at most 10000",
        ),
    ],
)
def test_an_odd_configuration_is_refused_by_its_name_and_left_out_of_the_list(
    root: Path, model_root: Path, file: str, changes: dict[str, object], reason: str
) -> None:
    store = ModelStore([root, model_root])
    edit(root / "tiny" / file, **changes)
    assert [info.id for info in store.list()] == ["classes", "learned"]
    with pytest.raises(ModelError, match=reason) as caught:
        store.describe("tiny")
    assert caught.value.hint.startswith("Mend that file")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sample_size": 15}, "15 px can't be halved 1 times"),
        ({"class_embed_type": "timestep"}, "classes by a 'timestep' embedding"),
        ({"class_embed_type": "identity"}, "classes by a 'identity' embedding"),
    ],
)
def test_what_could_not_paint_is_not_listed(
    root: Path, changes: dict[str, object], reason: str
) -> None:
    edit(root / "tiny" / "unet" / "config.json", **changes)
    store = ModelStore([root])
    assert store.list() == ()
    with pytest.raises(ModelError, match=reason):
        store.load("tiny")
    (fault,) = store.faults()
    assert reason in fault.message


def narrower(root: Path) -> None:
    wider(root / "tiny")


def hot(root: Path) -> None:
    impossible_betas(root / "tiny")


def few_betas(root: Path) -> None:
    edit(root / "tiny" / "scheduler" / "scheduler_config.json", trained_betas=[0.1] * 40)


def fourier(root: Path) -> None:
    save_tiny_model(root / "tiny", time_embedding_type="fourier")


def short_table(root: Path) -> None:
    changes = {"time_embedding_type": "learned", "num_train_timesteps": 100}
    save_tiny_model(root / "tiny", **changes)


def no_skips(root: Path) -> None:
    blocks = ("DownEncoderBlock2D", "DownBlock2D")
    changes = {"down_block_types": blocks, "up_block_types": ("UpBlock2D", "UpBlock2D")}
    save_tiny_model(root / "tiny", **changes)


def kernels(root: Path) -> None:
    save_tiny_model(
        root / "tiny",
        mid_block_type=None,
        time_embedding_dim=16,
        block_out_channels=(32, 32),
        down_block_types=("KDownBlock2D", "KDownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (narrower, "don't fit"),
        (hot, "noise schedule is impossible"),
        (few_betas, "40 trained_betas for num_train_timesteps = 1000"),
        (fourier, "logarithm of a noise level"),
        (short_table, "knows 100 timesteps, and its schedule has 1000"),
        (no_skips, "can't run the network"),
        (kernels, "no weights file holds"),
    ],
)
def test_listed_is_only_what_runs(root: Path, damage: Callable[[Path], None], reason: str) -> None:
    store = ModelStore([root])
    assert [info.id for info in store.list()] == ["tiny"]
    damage(root)
    assert store.list() == ()
    (fault,) = store.faults()
    assert reason in fault.message
    with pytest.raises(ModelError, match=reason):
        store.load("tiny")


@pytest.mark.parametrize("name", ["my model", "модель", "_underscore", "v1.2-b"])
def test_a_folder_paints_under_its_own_name(root: Path, name: str) -> None:
    (root / "tiny").rename(root / name)
    painter = Painter(ModelStore([root]))
    assert [info.id for info in painter.models.list()] == [name]
    (result,) = painter.films.pictures(Recipe.checked({"model": name, "steps": 2}))
    assert Recipe.from_link(result.request.to_link()).model == name
    assert result.name.startswith(name)


@pytest.mark.parametrize(
    "name", ["model (1)", "a&b", "-dash", "e\u0301te\u0301", "м" * 81, "y" * 162]
)
def test_a_folder_whose_name_cant_be_a_models_is_said(root: Path, name: str) -> None:
    (root / "tiny").rename(root / name)
    store = ModelStore([root])
    assert store.list() == ()
    (fault,) = store.faults()
    assert f"{name!r} can't be used: its folder's name" in fault.message


def shards(weights: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    names = sorted(weights)
    return {
        f"diffusion_pytorch_model-0000{n + 1}-of-00002.safetensors": {
            name: weights[name] for name in names[n::2]
        }
        for n in range(2)
    }


def wrapped(prefix: str, weights: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    return {WEIGHTS: {prefix + name: it for name, it in weights.items()}}


def half(weights: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    halved = {name: it.half() for name, it in weights.items()}
    return {"diffusion_pytorch_model.fp16.safetensors": halved}


@pytest.mark.parametrize(
    ("laid", "tolerance"),
    [
        (shards, 0.0),
        (partial(wrapped, "_orig_mod."), 0.0),
        (partial(wrapped, "module._orig_mod."), 0.0),
        (half, 1e-2),
    ],
)
def test_weights_are_read_however_they_were_saved(
    root: Path,
    model_root: Path,
    laid: Callable[[dict[str, torch.Tensor]], dict[str, dict[str, torch.Tensor]]],
    tolerance: float,
) -> None:
    folder = root / "tiny" / "unet"
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    for name, part in laid(weights).items():
        save_file(part, folder / name)
    store = ModelStore([root])
    assert [info.id for info in store.list()] == ["tiny"]
    x, t = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([5])
    plain = ModelStore([model_root]).load("tiny").denoiser("exact").predict(x, t, None)
    other = store.load("tiny").denoiser("exact").predict(x, t, None)
    assert (plain.output - other.output).abs().max() <= tolerance
    assert len(store.load("tiny").weights) == 64


def test_a_missing_shard_is_said(root: Path) -> None:
    folder = root / "tiny" / "unet"
    name = "diffusion_pytorch_model-00001-of-00003.safetensors"
    (folder / WEIGHTS).rename(folder / name)
    store = ModelStore([root])
    assert store.list() == ()
    with pytest.raises(ModelError, match="has 1 of the 3 files of its weights"):
        store.load("tiny")


def test_a_variant_is_read_where_there_is_nothing_else(root: Path) -> None:
    folder = root / "tiny" / "unet"
    (folder / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not read")
    assert [info.id for info in ModelStore([root]).list()] == ["tiny"]


@pytest.mark.parametrize("name", ["(1)", ".hidden", "a@b", "🎨"])
def test_a_folder_that_no_recipe_could_name_is_no_model(root: Path, name: str) -> None:
    (root / "tiny").rename(root / name)
    assert ModelStore([root]).list() == ()


def test_a_square_may_be_given_by_both_sides(root: Path) -> None:
    edit(root / "tiny" / "unet" / "config.json", sample_size=[16, 16])
    store = ModelStore([root])
    assert store.describe("tiny").size == 16
    assert store.load("tiny").info.size == 16


@pytest.mark.parametrize(
    "changes",
    [
        {"block_out_channels": [16_384, 16_384]},
        {"time_embedding_type": "learned", "num_train_timesteps": 10_000},
        {"num_class_embeds": 10_000},
    ],
)
def test_nothing_is_allocated_for_a_network_that_the_weights_do_not_fit(
    root: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    monkeypatch.setattr("app.models.network_files.load_file", None)
    edit(root / "tiny" / "unet" / "config.json", **changes)
    with pytest.raises(ModelError, match=r"don't fit config\.json"):
        ModelStore([root]).load("tiny")


def test_a_network_that_can_not_be_built_is_refused(root: Path) -> None:
    edit(root / "tiny" / "unet" / "config.json", norm_num_groups=0)
    with pytest.raises(ModelError, match="no network that can be built"):
        ModelStore([root]).load("tiny")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("unet/config.json", b"[" * 200_000),
        ("unet/config.json", b"\xff"),
        (f"unet/{WEIGHTS}", b"PK"),
    ],
)
def test_odd_bytes_leave_the_other_models_in_the_list(
    root: Path, model_root: Path, name: str, content: bytes
) -> None:
    (root / "tiny" / name).write_bytes(content)
    store = ModelStore([root, model_root])
    assert [info.id for info in store.list()] == ["classes", "learned"]


@pytest.mark.parametrize("name", ["nobody", "../tiny", "/etc", "", "tiny/unet"])
def test_a_name_is_never_a_path(root: Path, name: str) -> None:
    with pytest.raises(ModelError, match="no model"):
        ModelStore([root / "tiny", root]).load(name)


def test_of_too_many_adopted_models_the_first_is_forgotten(root: Path) -> None:
    store = ModelStore([root])
    models = [ModelFiles(f"adopted-{i}", root) for i in range(MAX_ADOPTED + 1)]
    for model in models:
        store.adopt(model)
    assert [store.find(model.id).id for model in models[1:]] == [m.id for m in models[1:]]
    with pytest.raises(ModelError, match="no model 'adopted-0'"):
        store.find("adopted-0")


def test_models_are_described_without_loading_weights(model_root: Path) -> None:
    infos = {info.id: info for info in ModelStore([model_root]).list()}
    assert infos["tiny"].size == 16
    assert infos["tiny"].labels == ()
    assert infos["learned"].learned_variance
    assert infos["classes"].labels == ("garden", "river", "street")
    assert infos["classes"].null_label == 3
    expected = sum(p.numel() for p in ModelStore([model_root]).load("tiny")._unet.parameters())
    assert infos["tiny"].parameters == expected


def test_the_flat_layout_of_early_models_loads_too(root: Path) -> None:
    folder = root / "tiny"
    for nested in ("unet", "scheduler"):
        for file in (folder / nested).iterdir():
            file.rename(folder / file.name)
        (folder / nested).rmdir()
    assert ModelStore([root]).load("tiny").info.size == 16


@pytest.mark.parametrize(
    ("asked", "label"),
    [(None, None), (0, 0), ("river", 1), ("RIVER", 1), ("any", None), ("street", 2)],
)
def test_a_class_is_asked_for_by_number_or_name(
    model_root: Path, asked: int | str | None, label: int | None
) -> None:
    assert ModelStore([model_root]).describe("classes").label_of(asked) == label


def test_of_two_names_that_differ_in_case_each_is_found(model_root: Path) -> None:
    info = replace(ModelStore([model_root]).describe("classes"), labels=("Sea", "sea", "Any"))
    assert [info.label_of(name) for name in ("Sea", "sea", "SEA", "any")] == [0, 1, 0, 2]


@pytest.mark.parametrize("asked", [3, "Monet", ""])
def test_a_class_that_is_not_there_is_refused_with_those_that_are(
    model_root: Path, asked: int | str
) -> None:
    info = ModelStore([model_root]).describe("classes")
    with pytest.raises(RecipeError, match="0 garden, 1 river, 2 street, or none, which is any"):
        info.label_of(asked)
    many = replace(info, labels=tuple(f"class {i}" for i in range(10_000)))
    with pytest.raises(RecipeError, match=r"\.\.\. to 9999 class 9999") as caught:
        many.label_of("Monet")
    assert len(caught.value.hint) < 1000


@pytest.mark.parametrize(
    "table",
    [
        '{"labels": 3}',
        '{"labels": ["a"], "null_label": 9}',
        "{}",
        '{"labels": ["a"], "guidance_scale": 0.5}',
        '{"labels": ["a"], "guidance_from": "all"}',
    ],
)
def test_labels_that_do_not_fit_are_refused(model_root: Path, tmp_path: Path, table: str) -> None:
    shutil.copytree(model_root / "classes", tmp_path / "classes")
    (tmp_path / "classes" / "labels.json").write_text(table)
    with pytest.raises(ModelError, match=r"labels\.json"):
        ModelStore([tmp_path]).load("classes")


def test_the_guidance_that_suits_a_model_is_in_its_labels(model_root: Path, tmp_path: Path) -> None:
    shutil.copytree(model_root / "classes", tmp_path / "classes")
    path = tmp_path / "classes" / "labels.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {"guidance_scale": 3, "guidance_from": 700}))
    info = ModelStore([tmp_path]).describe("classes")
    assert (info.guidance_scale, info.guidance_from, info.guidance_to) == (3, 700, 0)
    assert ModelStore([model_root]).describe("classes").guidance_scale == 1


def test_the_bundled_model_is_what_its_card_says() -> None:
    model = ModelStore([BUNDLED_MODELS]).load("impressionist-64")
    assert (model.info.size, model.info.num_train_timesteps) == (64, 1000)
    assert model.schedule.betas[0].item() == pytest.approx(1e-4)
    assert model.schedule.betas[-1].item() == pytest.approx(0.02)
    assert model.weights in (BUNDLED_MODELS / "impressionist-64" / "README.md").read_text()
    assert all(p.dtype == torch.float32 for p in model._unet.parameters())
