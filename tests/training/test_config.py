"""Settings: strict, whole, and refused where they contradict each other."""

from pathlib import Path

import pytest

from app.errors import StudioError
from app.training.config import TrainConfig, read_fields
from tests.training.tiny import config, fields


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"learning_rat": 1e-4}, "learning_rat"),
        ({"batch_size": "16"}, "batch_size"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"data": None}, "data"),
        ({"phases": []}, "phases"),
        ({"phases": [{"size": 16}]}, "views"),
        ({"objective": "hybird"}, "objective"),
        ({"vlb_weight": 0.01}, "vlb_weight belongs to objective"),
        ({"held_out": "a", "held_out_share": 0.1}, "not both"),
        ({"init": "somewhere"}, "those of init"),
        ({"accumulate": 3}, "doesn't divide batch_size"),
        ({"ema_sigma_rels": [0.05, 0.05]}, "must differ"),
        ({"ema_sigma_rels": [0.0501, 0.0502]}, "must differ"),
        ({"ema_sigma_rels": [0.3]}, "lie in"),
        ({"network": {"attention": [True]}}, "one value for each"),
        ({"network": {"norm_num_groups": 7}}, "doesn't divide the width"),
        ({"network": {"attention_head_dim": 7}}, "doesn't divide the width"),
        (
            {"network": {"block_out_channels": [16, 24], "attention": [False, False]}},
            "the width 24",
        ),
        ({"schedule": {"beta_start": 0.5}}, "beta_start"),
        ({"schedule": {"num_train_timesteps": 3}, "sample_steps": 4}, "exceeds T"),
        ({"labels": {"source": "folders", "column": "artist"}}, "no `column`"),
        ({"labels": {"source": "manifest", "column": "artist"}}, "need `manifest`"),
    ],
)
def test_unknown_and_contradictory_settings_are_refused(
    changes: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(StudioError, match=r"configuration can't be used") as caught:
        TrainConfig.checked(fields(tmp_path) | changes)
    assert reason in caught.value.message


def test_a_configuration_comes_back_from_its_json_and_from_toml(tmp_path: Path) -> None:
    settings = config(tmp_path, min_snr_gamma=5.0, labels={"source": "folders"})
    stored = tmp_path / "config.json"
    stored.write_text(settings.to_json())
    assert TrainConfig.checked(read_fields(stored)) == settings
    toml = tmp_path / "config.toml"
    toml.write_text(
        'data = "x"\nbatch_size = 8\nema_sigma_rels = [0.1]\nphases = [{size = 32, views = 80}]\n'
    )
    read = TrainConfig.checked(read_fields(toml))
    assert (read.batch_size, read.phases[0].views, read.ema_names) == (8, 80, ("ema-0.100",))


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff"])
def test_a_broken_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StudioError, match="configuration"):
        read_fields(path)


def test_phases_follow_each_other_and_round_up_to_whole_steps(tmp_path: Path) -> None:
    phases = [{"size": 8, "views": 9}, {"size": 16, "views": 8}]
    settings = config(tmp_path, phases=phases)
    assert settings.steps_by_phase == (3, 2)
    assert [settings.size_at(step) for step in range(5)] == [8, 8, 8, 16, 16]
    with pytest.raises(IndexError):
        settings.size_at(5)


def test_the_learning_rate_rises_stays_and_falls_to_nearly_nothing(tmp_path: Path) -> None:
    settings = config(
        tmp_path, phases=[{"size": 16, "views": 400}], warmup_steps=10, decay_share=0.4
    )
    rates = [settings.rate_at(step) / settings.learning_rate for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:60] == pytest.approx([1.0] * 51)
    assert rates[60:] == pytest.approx([(40 - i) / 41 for i in range(40)])
