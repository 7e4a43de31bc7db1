"""Weights that give NaN or infinity: every stream says so, and from which t on."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.diffusion.bound import bound_terms
from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Prediction, require_finite
from app.diffusion.reverse import reverse_process
from app.diffusion.samplers.base import Sampler
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise
from app.errors import ModelError, NotFiniteError
from app.evaluation.judge import held_out_loss
from app.laboratory.experiments import PosteriorStep
from app.laboratory.noise import NoiseLab
from app.models.files import ModelFiles
from app.models.network_files import WEIGHTS
from app.models.store import ModelStore
from app.networks.unet import UNetDenoiser
from app.novelty.nearest import model_features
from app.painting.film import Moment, ReplayStep
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.training.architecture import load_initial_model
from tests.laboratory.pictures import upload
from tests.models.test_lending import STREAMS
from tests.training.pictures import landscapes

INFINITY, NAN = float("inf"), float("nan")


def spoil(folder: Path, value: float) -> None:
    """Put `value` in one of the last layer's weights."""
    path = folder / "unet" / WEIGHTS
    tensors = load_file(path)
    tensors["conv_out.weight"][0, 0, 1, 1] = value
    save_file(tensors, path, {"format": "pt"})


@pytest.fixture
def root(model_root: Path, tmp_path: Path) -> Path:
    """Models of our own to spoil."""
    return Path(shutil.copytree(model_root, tmp_path / "models"))


@pytest.mark.parametrize("value", [NAN, INFINITY])
@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: str(stream.__name__))
def test_every_stream_says_where_it_began(
    root: Path, stream: Callable[[ModelStore], Iterator[Any]], value: float
) -> None:
    for name in ("tiny", "classes"):
        spoil(root / name, value)
    with pytest.raises(NotFiniteError, match=r"What (tiny|classes) predicts .* from t = \d+ on"):
        list(stream(ModelStore([root], "cpu", 1)))


def test_the_second_stage_says_where_it_began(root: Path) -> None:
    spoil(root / "brushwork-256", NAN)
    painter, seen = Painter(ModelStore([root], "cpu", 1)), list[Moment | ReplayStep]()
    wish = Recipe(model="tiny", steps=2, size=64, stage_steps=2)
    with pytest.raises(NotFiniteError, match=r"What brushwork-256 .* from t = 1000 on") as found:
        seen.extend(painter.films.stream(wish))
    assert [it.index for it in seen if isinstance(it, Moment)] == [0, 1, 2], "the first stage's"
    assert "Choose exact precision" in found.value.hint
    assert painter.films.remembered(painter.complete(Recipe(model="tiny", steps=2))) is None


def test_what_begins_on_the_way_is_said_with_its_t(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = UNetDenoiser.forward

    def overflows(self: UNetDenoiser, x: Tensor, t: Tensor, it: Condition | None) -> Tensor:
        out = forward(self, x, t, it)
        return torch.where((t < 500).view(-1, 1, 1, 1), out * INFINITY, out)

    monkeypatch.setattr(UNetDenoiser, "forward", overflows)
    painter, seen = Painter(ModelStore([root], "cpu", 1)), list[Moment | ReplayStep]()
    with pytest.raises(NotFiniteError, match="from t = 500 on"):
        seen.extend(painter.films.stream(Recipe(model="tiny", steps=4)))
    assert [it.t for it in seen if isinstance(it, Moment)] == [1000, 750]


def test_what_no_stream_asks_is_said_too(root: Path) -> None:
    spoil(root / "tiny", NAN)
    store = ModelStore([root], "cpu", 1)
    model, lab = store.load("tiny"), NoiseLab(Painter(store))
    with pytest.raises(NotFiniteError, match="What tiny predicts isn't finite from t = 40 on"):
        lab.inspect(PosteriorStep(model="tiny", source=upload(1), t=40))
    with pytest.raises(NotFiniteError, match="What tiny predicts"):
        held_out_loss(model.denoiser("exact"), model.schedule, torch.zeros(4, 3, 16, 16))


@pytest.mark.parametrize("value", [INFINITY, NAN])
def test_no_training_begins_with_it(root: Path, value: float) -> None:
    spoil(root / "tiny", value)
    with pytest.raises(ModelError, match=r"NaN or infinity, in conv_out\.\w+"):
        load_initial_model(ModelFiles("tiny", root / "tiny"))


def test_an_index_is_not_made_of_nan(root: Path) -> None:
    path = root / "tiny" / "unet" / WEIGHTS
    tensors = load_file(path)
    tensors["conv_in.bias"][0] = NAN
    save_file(tensors, path, {"format": "pt"})
    features = model_features(ModelStore([root], "cpu", 1).load("tiny"))
    with pytest.raises(NotFiniteError, match="What tiny makes of a picture"):
        features(landscapes(2))


class Still:
    """A Denoiser that predicts nothing, and a variance."""

    def __init__(self, variance: float = 0.0) -> None:
        self.variance = variance

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        zero = torch.zeros_like(x_t)
        return Prediction(zero, variance=zero + self.variance)


def test_a_term_of_the_bound_that_overflows_is_said_with_its_t() -> None:
    terms = bound_terms(
        Still(-1e6),
        NoiseSchedule.named(),
        torch.zeros(1, 3, 4, 4),
        torch.tensor([300]),
        noise=SeededNoise([1]),
        variance="learned",
    )
    with pytest.raises(NotFiniteError, match="The bound's term isn't finite from t = 301 on"):
        next(terms)


def test_a_last_step_that_overflows_gives_no_picture() -> None:
    class Overflowing(Sampler):
        def step(self, *_: object) -> Tensor:
            return torch.full((1, 3, 4, 4), NAN)

    stream = reverse_process(
        Still(),
        NoiseSchedule.named(),
        torch.zeros(1, 3, 4, 4),
        torch.tensor([9]),
        sampler=Overflowing(),
        noise=SeededNoise([1]),
    )
    assert next(stream).t == 9
    with pytest.raises(NotFiniteError, match="t = 10 on"):
        next(stream)


def test_large_numbers_are_finite_though_their_sum_is_not() -> None:
    require_finite(torch.full((2, 3), 3e38), torch.tensor([1, 2]), "It")
    with pytest.raises(NotFiniteError, match="It isn't finite from t = 3 on"):
        require_finite(torch.tensor([[0.0], [NAN]]), torch.tensor([7, 2]), "It")
