"""Algorithm 1 of Ho et al. (2020): training, as a generator that its caller drives."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import AdamW

from app.diffusion.forward import q_sample
from app.engine.trainable import make_trainable
from app.engine.unet import fast_dtype
from app.training.batch import Batch, make_batch, stored_size
from app.training.config import DEFAULT_VLB_WEIGHT, TrainConfig
from app.training.course import Course
from app.training.dataset import Pictures
from app.training.draws import draw
from app.training.ema import PowerEma
from app.training.muon import Muon
from app.training.objective import Objective
from app.training.processes import Processes
from app.training.trainee import Architecture, Trainee

QUARTERS = 4


@dataclass(frozen=True)
class TrainStep:
    """What one step did.

    Attributes:
        step: Steps done, this one included.
        views: Pictures seen, over all steps and processes.
        loss: The mean of what was minimised.
        learning_rate: What this step used.
        loss_by_quarter: The mean L_simple, unweighted, of the pictures whose t lay in each
            quarter of [0, T); None where there was none.
        gradient_norm: Before clipping.
        size: The side of its pictures in pixels.
        pictures_per_second: Over all processes, without what the caller does between steps.
    """

    step: int
    views: int
    loss: float
    learning_rate: float
    loss_by_quarter: tuple[float | None, ...]
    gradient_norm: float
    size: int
    pictures_per_second: float


@dataclass(eq=False)
class Learner:
    """All that changes in training, and that a checkpoint therefore holds.

    Attributes:
        network: In fp32, arranged by `make_trainable`.
        optimiser: AdamW over its parameters, or Muon.
        emas: Their averages, by name.
        step: Steps done.
    """

    network: UNet2DModel
    optimiser: AdamW
    emas: dict[str, PowerEma]
    step: int = 0

    @classmethod
    def new(cls, trainee: Trainee, config: TrainConfig, device: torch.device) -> "Learner":
        """At step 0; takes over the trainee's network."""
        network = make_trainable(trainee.network)
        network.to(device)  # type: ignore[arg-type] # diffusers' decorator hides the method
        parameters = list(network.parameters())
        pairs = zip(config.ema_names, config.ema_sigma_rels, strict=True)
        emas = {name: PowerEma(parameters, sigma) for name, sigma in pairs}
        return cls(network, _optimiser(network, config, device), emas)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def weights(self, name: str = "raw") -> dict[str, Tensor]:
        """The weights called `name`: "raw", or an EMA's; buffers there are none."""
        values: Sequence[Tensor] = list(self.network.parameters())
        if name != "raw":
            values = self.emas[name].values
        names = (parameter for parameter, _ in self.network.named_parameters())
        return {n: value.detach() for n, value in zip(names, values, strict=True)}


def _optimiser(network: nn.Module, config: TrainConfig, device: torch.device) -> AdamW:
    rate, decay, betas = config.learning_rate, config.weight_decay, (config.beta1, config.beta2)
    if config.optimiser == "muon":
        dtype = Forward.chosen(config, device).dtype
        return Muon(network, dtype, lr=rate, betas=betas, weight_decay=decay)
    return AdamW(network.parameters(), rate, betas, weight_decay=decay, fused=True)


@dataclass(frozen=True, eq=False)
class Material:
    """What is trained on.

    Attributes:
        pictures: At every stored size.
        labels: Their classes, (N,) int64; None where there are none.
        null_label: The class that stands for "any".
    """

    pictures: Pictures
    labels: Tensor | None = None
    null_label: int = 0


@dataclass(frozen=True, eq=False)
class Forward:
    """How a network is run in training: its device and precision.

    Attributes:
        device: Where it is.
        dtype: What it computes in; its weights stay float32.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @classmethod
    def chosen(cls, config: TrainConfig, device: torch.device) -> "Forward":
        """As `config` wishes and the device can; float16 would need a scaled loss."""
        dtype = fast_dtype(device) if config.precision == "fast" else torch.float32
        return cls(device, torch.bfloat16 if dtype == torch.bfloat16 else torch.float32)

    def autocast(self) -> AbstractContextManager[object]:
        """A context in which the network computes in `dtype`."""
        return torch.autocast(self.device.type, torch.bfloat16, self.dtype == torch.bfloat16)

    def __call__(self, network: nn.Module, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """The raw output, float32, on the device."""
        return self.with_weights(network, {}, x_t, t, labels)

    def with_weights(
        self,
        network: nn.Module,
        weights: Mapping[str, Tensor],
        x_t: Tensor,
        t: Tensor,
        labels: Tensor | None,
    ) -> Tensor:
        """The raw output with `weights` in place of the network's own of those names."""
        x_t = x_t.to(self.device, memory_format=torch.channels_last)
        labels = None if labels is None else labels.to(self.device)
        arguments = (x_t, t.to(self.device), labels, False)
        with self.autocast():
            (out,) = functional_call(network, dict(weights), arguments)
        return torch.as_tensor(out).float()


def objective_of(architecture: Architecture, config: TrainConfig) -> Objective:
    """What `config` minimises for a model of that architecture."""
    weight = config.vlb_weight or DEFAULT_VLB_WEIGHT
    return Objective(
        architecture.schedule,
        architecture.target,
        vlb_weight=weight if config.objective == "hybrid" else 0.0,
        min_snr_gamma=config.min_snr_gamma,
        multiscale_gamma=config.multiscale_gamma,
    )


def train(
    config: TrainConfig,
    architecture: Architecture,
    learner: Learner,
    material: Material,
    processes: Processes | None = None,
) -> Iterator[TrainStep]:
    """Train `learner` on from where it is to the end of the course, a step for each `next`.

    Between steps the learner is complete: the caller may save it, or stop by closing.

    Yields:
        A TrainStep after each step.
    """
    processes = processes or Processes()
    objective, course = objective_of(architecture, config), Course(config)
    forward = Forward.chosen(config, learner.device)
    wrapped = processes.wrap(learner.network)
    stepper = _Stepper(config, learner, wrapped, forward, objective, processes)
    timesteps = objective.schedule.num_train_timesteps
    for step in range(learner.step, course.total_steps):
        started = time.perf_counter()
        size, rate = course.size(step), course.learning_rate(step)
        pixels = material.pictures.pixels[stored_size(size, config.crop_scale)]
        shape = (architecture.channels, size, size)
        draws = draw(config, step, pictures=len(pixels), shape=shape, timesteps=timesteps)
        batch = make_batch(config, pixels, material.labels, material.null_label, draws)
        done = stepper.step(batch, rate)
        yield TrainStep(
            step=learner.step,
            views=learner.step * config.batch_size,
            loss=float(done.total.mean()),
            learning_rate=rate,
            loss_by_quarter=by_quarter(done.simple, done.t, timesteps),
            gradient_norm=done.gradient_norm,
            size=size,
            pictures_per_second=config.batch_size / (time.perf_counter() - started),
        )


@dataclass(frozen=True, eq=False)
class _Done:
    """A step's losses, (B,) over all processes, with their timesteps."""

    total: Tensor
    simple: Tensor
    t: Tensor
    gradient_norm: float


@dataclass(frozen=True, eq=False)
class _Stepper:
    """Takes optimiser steps: gradients of every part, clipping, the optimiser, the averages."""

    config: TrainConfig
    learner: Learner
    wrapped: nn.Module
    forward: Forward
    objective: Objective
    processes: Processes

    def step(self, batch: Batch, learning_rate: float) -> _Done:
        """One step on `batch`, of which this process takes its rows."""
        parts = range(self.config.accumulate)
        done = [self._backward(batch, part) for part in parts]
        learner, parameters = self.learner, list(self.learner.network.parameters())
        limit = self.config.gradient_clip or float("inf")
        norm = nn.utils.clip_grad_norm_(parameters, limit)
        for group in learner.optimiser.param_groups:
            group["lr"] = learning_rate
        learner.optimiser.step()
        learner.optimiser.zero_grad(set_to_none=True)
        learner.step += 1
        for ema in learner.emas.values():
            ema.update(parameters, learner.step)
        total, simple, t = (self.processes.gather(torch.cat(x)) for x in zip(*done, strict=True))
        return _Done(total.cpu(), simple.cpu(), t.cpu(), float(norm))

    def _backward(self, batch: Batch, part: int) -> tuple[Tensor, Tensor, Tensor]:
        """Add the gradients of one part; its losses, total and simple, and its timesteps."""
        parts = self.config.accumulate
        rows = batch.rows(self.processes.rows(self.config.batch_size, part, parts))
        x_t = q_sample(self.objective.schedule, rows.x_0, rows.t, rows.eps)
        with self.processes.averaging(self.wrapped, part == parts - 1):
            out = self.forward(self.wrapped, x_t, rows.t, rows.labels)
            x_0, x_t, eps = (x.to(out.device) for x in (rows.x_0, x_t, rows.eps))
            losses = self.objective.losses(out, x_0, x_t, rows.t, eps)
            (losses.total.mean() / parts).backward()
        # On the network's device, where several processes exchange them.
        return losses.total.detach(), losses.simple.detach(), rows.t.to(out.device)


def by_quarter(losses: Tensor, t: Tensor, timesteps: int) -> tuple[float | None, ...]:
    """The mean of `losses` (B,) whose `t` (B,) lies in each quarter of [0, T); None for none."""
    quarter = t * QUARTERS // timesteps
    parts = [losses[quarter == q] for q in range(QUARTERS)]
    return tuple(float(part.mean()) if len(part) else None for part in parts)
