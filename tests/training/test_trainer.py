"""The training loop: what a step does, and that it reports what it did."""

from itertools import islice
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from app.datasets.folder import DecodedPictures
from app.datasets.labels import find_classes, label_pictures
from app.diffusion.forward import q_sample
from app.errors import NotFiniteError
from app.settings import BUNDLED_MODELS
from app.training.architecture import check_architecture, new_initial_model
from app.training.batches import TrainingData, draw, make_batch
from app.training.config import TrainConfig
from app.training.trainer import TrainState, TrainStep, ahead, objective_of, train
from app.training.validation import HeldOut, sample_grid
from tests.training.tiny import CPU, config, new_state, training_data


def run(settings: TrainConfig, steps: int) -> tuple[TrainState, list[TrainStep]]:
    initial, model = new_state(settings)
    stream = train(settings, initial.architecture, model, training_data(settings))
    return model, list(islice(stream, steps))


def test_a_step_is_algorithm_1_with_adamw(data: Path) -> None:
    settings = config(data, gradient_clip=None, warmup_steps=0)
    model, (step,) = run(settings, 1)
    initial = new_initial_model(settings, None)
    network = initial.network.requires_grad_(True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-4, betas=(0.9, 0.99), weight_decay=0)
    draws = draw(settings, 0, pictures=24, shape=(3, 16, 16), timesteps=1000)
    batch = make_batch(settings, training_data(settings).pictures.pixels[16], None, draws)
    x_t = q_sample(initial.architecture.schedule, batch.x_0, batch.t, batch.eps)
    loss = torch.nn.functional.mse_loss(network(x_t, batch.t).sample, batch.eps)
    loss.backward()
    optimiser.step()
    assert step.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    ours = model.weights()
    for name, parameter in network.named_parameters():
        # Adam's first step is lr * sign(gradient): compare where the sign isn't rounding.
        sure = torch.as_tensor(parameter.grad).abs() > 1e-5
        torch.testing.assert_close(ours[name][sure], parameter.detach()[sure], rtol=0, atol=2e-6)


def test_steps_report_views_rate_and_loss_by_quarter(data: Path) -> None:
    _, steps = run(config(data), 20)
    assert [step.step for step in steps] == list(range(1, 21))
    assert [step.views for step in steps] == list(range(4, 84, 4))
    assert all(step.size == 16 and step.pictures_per_second > 0 for step in steps)
    # Four stratified timesteps: one in each quarter, and L_simple is the mean of all.
    for step in steps:
        quarters = [loss for loss in step.loss_by_quarter if loss is not None]
        assert sum(quarters) / 4 == pytest.approx(step.loss, rel=1e-5)


def test_training_lowers_the_loss_and_the_average_follows(data: Path) -> None:
    settings = config(
        data, phases=[{"size": 8, "views": 640}], batch_size=8, learning_rate=3e-3, flip=False
    )
    model, steps = run(settings, 80)
    losses = [step.loss for step in steps]
    assert sum(losses[-20:]) < 0.7 * sum(losses[:20])
    initial = new_initial_model(settings, None)
    start = {n: p.detach() for n, p in initial.network.named_parameters()}
    raw, average = model.weights(), model.weights("ema-0.100")
    moved = sum(float((raw[n] - start[n]).norm()) for n in start)
    behind = sum(float((raw[n] - average[n]).norm()) for n in start)
    assert 0 < behind < 0.5 * moved


def test_accumulated_parts_make_the_same_step(data: Path) -> None:
    whole, (first,) = run(config(data, gradient_clip=0.1), 1)
    parts, (second,) = run(config(data, gradient_clip=0.1, accumulate=4), 1)
    assert second.loss == pytest.approx(first.loss, rel=1e-5)
    assert second.gradient_norm == pytest.approx(first.gradient_norm, rel=1e-4)
    assert second.loss_by_quarter == pytest.approx(first.loss_by_quarter, rel=1e-4)
    moments = [m.optimiser.state for m in (whole, parts)]
    for p, q in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        a, b = moments[0][p]["exp_avg"], moments[1][q]["exp_avg"]
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-7)


def test_clipping_bounds_what_adamw_is_given(data: Path) -> None:
    model, (step,) = run(config(data, gradient_clip=0.01), 1)
    assert step.gradient_norm > 0.01
    seen = [model.optimiser.state[p]["exp_avg"] for p in model.network.parameters()]
    norm = torch.cat([m.flatten() for m in seen]).norm() / (1 - 0.9)
    assert float(norm) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "hybrid"},
        {"prediction": "v_prediction", "min_snr_gamma": 5.0},
        {"immiscible": True, "stratified": False, "crop_scale": 0.6},
        {"precision": "fast"},
        {"optimiser": "muon"},
        {"phases": [{"size": 8, "views": 4}, {"size": 16, "views": 4}]},
    ],
)
def test_each_kind_of_training_takes_finite_steps_that_move_all_weights(
    changes: dict[str, object], data: Path
) -> None:
    settings = config(data, **changes)
    before = dict(new_initial_model(settings, None).network.named_parameters())
    model, steps = run(settings, 2)
    assert all(0 < step.loss < 100 for step in steps)
    # A key's bias has no effect on a softmax, so that only rounding moves it.
    still = [n for n, w in model.weights().items() if torch.equal(w, before[n])]
    assert [name for name in still if "to_k.bias" not in name] == []


def test_classes_are_learned_with_a_null_label(data: Path) -> None:
    labels = {"source": "folders", "dropout": 0.3}
    settings = config(data, labels=labels, batch_size=8, phases=[{"size": 16, "views": 80}])
    assert settings.labels is not None
    plain = training_data(settings)
    classes = find_classes(settings.labels, plain.pictures.names)
    initial = new_initial_model(settings, classes)
    check_architecture(initial.architecture, settings, classes)
    numbers = label_pictures(settings.labels, classes, plain.pictures.names)
    model = TrainState.new(initial, settings, CPU)
    before = model.weights()["class_embedding.weight"].clone()
    stream = train(
        settings,
        initial.architecture,
        model,
        TrainingData(plain.pictures, numbers),
    )
    assert len(list(stream)) == 10
    moved = (model.weights()["class_embedding.weight"] - before).abs().sum(1)
    assert len(moved) == 3
    assert bool((moved > 0).all())


def test_the_held_out_loss_is_l_simple_and_repeats(data: Path) -> None:
    settings = config(data)
    initial, model = new_state(settings)
    pixels = training_data(settings).pictures.pixels[16][:5]
    held_out = HeldOut.made(pixels, None, 1000)
    assert len(held_out.t) == 130
    assert torch.bincount(held_out.t * 4 // 1000).tolist() == [32, 33, 32, 33]
    objective = objective_of(initial.architecture, settings)
    losses = [held_out.loss(model, model.weights(), objective) for _ in range(2)]
    assert losses[0] is not None
    assert losses[1] is not None
    assert torch.equal(losses[0].losses, losses[1].losses)
    schedule = initial.architecture.schedule
    x_t = q_sample(schedule, held_out.x_0, held_out.t, held_out.eps)
    with torch.no_grad():
        out = model.network(x_t, held_out.t, return_dict=False)[0]
    errors = ((out - held_out.eps) ** 2).flatten(1).mean(1)
    assert losses[0].mean == pytest.approx(float(errors.mean()), rel=1e-5)
    last = errors[held_out.t >= 750].mean()
    assert losses[0].by_quarter[3] == pytest.approx(float(last), rel=1e-5)


def test_an_average_that_is_not_finite_has_no_samples_and_no_loss(data: Path) -> None:
    settings = config(data)
    initial, model = new_state(settings)
    weights = {name: torch.full_like(it, torch.nan) for name, it in model.weights().items()}
    held_out = HeldOut.made(training_data(settings).pictures.pixels[16][:5], None, 1000)
    with pytest.raises(NotFiniteError, match="held-out pictures isn't finite from t = "):
        held_out.loss(model, weights, objective_of(initial.architecture, settings))
    with pytest.raises(NotFiniteError, match="samples isn't finite from t = 1000 on"):
        sample_grid(settings, initial.architecture, model, weights, 16)


def test_closing_the_stream_leaves_a_state_that_can_be_saved(data: Path) -> None:
    settings = config(data)
    initial, model = new_state(settings)
    stream = train(settings, initial.architecture, model, training_data(settings))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert model.step == 1
    assert torch.is_grad_enabled()
    assert next(train(settings, initial.architecture, model, training_data(settings))).step == 2


def test_what_comes_next_is_made_meanwhile_and_its_errors_arrive() -> None:
    made = []

    def make(item: int) -> int:
        made.append(item)
        if item == 3:
            raise OSError("gone")
        return 10 * item

    stream = ahead(make, range(5))
    assert made == []
    assert [next(stream), next(stream), next(stream)] == [0, 10, 20]
    with pytest.raises(OSError, match="gone"):
        next(stream)
    assert list(ahead(make, range(0))) == []
    stopped = ahead(make, range(100, 200))
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert max(made) <= 101


def test_from_scratch_it_is_the_bundled_models_network() -> None:
    folder = BUNDLED_MODELS / "impressionist-64"
    settings = TrainConfig.model_validate({"data": "pictures"})
    architecture = new_initial_model(settings, None).architecture
    bundled = UNet2DModel.load_config(folder / "unet")
    for name, value in architecture.unet.items():
        if not name.startswith("_"):
            assert bundled[name] == (list(value) if isinstance(value, tuple) else value), name


def test_one_picture_is_enough_to_train_on(data: Path) -> None:
    settings = config(data)
    initial, model = new_state(settings)
    whole = training_data(settings).pictures
    one = DecodedPictures(whole.names[:1], {16: whole.pixels[16][:1]})
    assert next(train(settings, initial.architecture, model, TrainingData(one))).step == 1
