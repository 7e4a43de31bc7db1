"""Algorithm 1 of Ho et al. (2020): training, as a generator that its caller drives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import AdamW

from app.diffusion.conditioning import Condition
from app.networks.devices import fast_dtype
from app.training.architecture import Architecture, InitialModel
from app.training.autoencoder_objective import AutoencoderObjective
from app.training.batches import Batch, Examples
from app.training.config import DEFAULT_VLB_WEIGHT, TrainConfig
from app.training.distributed import Processes
from app.training.objective import Objective, TrainingObjective
from app.training.optimisers import Muon, PowerEma
from app.training.stage_objective import StageObjective

T = TypeVar("T")

QUARTERS = 4


@dataclass(frozen=True)
class TrainStep:
    """The results of one training step.

    Attributes:
        step: Steps done, this one included.
        views: Pictures seen, over all steps and processes.
        loss: The mean of the loss that was minimised.
        learning_rate: The learning rate of this step.
        loss_by_quarter: The mean L_simple, unweighted, of the pictures whose t lay in each
            quarter of [0, T); None where there was none.
        gradient_norm: The norm of the gradient before clipping.
        size: The side of the step's pictures in pixels.
        pictures_per_second: The speed over all processes, without the caller's work between steps.
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
class TrainState:
    """All that changes in training, and that a checkpoint therefore holds.

    Attributes:
        network: The network in fp32, arranged to be trained.
        optimiser: AdamW or Muon over the network's parameters.
        emas: The averages of the parameters, by name.
        dtype: The type that the network computes in; its weights stay float32.
        step: Steps done.
    """

    network: nn.Module
    optimiser: AdamW
    emas: dict[str, PowerEma]
    dtype: torch.dtype
    step: int = 0

    @classmethod
    def new(cls, initial: InitialModel, config: TrainConfig, device: torch.device) -> TrainState:
        """Make the state at step 0, which takes over the initial model's network."""
        network = initial.trainable().to(device)
        parameters = list(network.parameters())
        pairs = zip(config.ema_names, config.ema_sigma_rels, strict=True)
        emas = {name: PowerEma(parameters, sigma) for name, sigma in pairs}
        dtype = training_dtype(config, device)
        return cls(network, _optimiser(network, config, dtype), emas, dtype)

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        condition: Condition | None,
        weights: Mapping[str, Tensor] | None = None,
        *,
        network: nn.Module | None = None,
    ) -> Tensor:
        """Run the network, or the `network` that wraps it, in the precision of the run.

        Args:
            x_t: (B, C, H, W), on any device.
            t: (B,) int64.
            condition: What the pictures are to show.
            weights: Weights to use in place of the network's own weights of the same names.
            network: The wrapped network of a run of several processes.

        Returns:
            The raw output (B, C or 2C, H, W), float32, on the network's device.
        """
        labels = None if condition is None else condition.labels
        if condition is not None and condition.low_res is not None:
            x_t, labels = torch.cat([x_t, condition.low_res], 1), condition.low_res_t
        x_t, device = x_t.to(self.device, memory_format=torch.channels_last), self.device
        arguments = (x_t, t.to(device), None if labels is None else labels.to(device))
        (out,) = self.call(arguments, weights, network=network, return_dict=False)
        return out

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.network.parameters()).device

    def call(
        self,
        arguments: tuple[Tensor | None, ...],
        weights: Mapping[str, Tensor] | None = None,
        *,
        network: nn.Module | None = None,
        **settings: bool,
    ) -> tuple[Tensor, ...]:
        """Call the network as `forward` does, with `arguments` on its device and its `settings`.

        Returns:
            What it returns, float32.
        """
        called = network or self.network
        with torch.autocast(self.device.type, torch.bfloat16, self.dtype == torch.bfloat16):
            out = functional_call(called, dict(weights or {}), arguments, settings)
        return tuple(torch.as_tensor(each).float() for each in out)

    def weights(self, name: str = "raw") -> dict[str, Tensor]:
        """Return the weights `name`, "raw" or an EMA's, by parameter; there are no buffers."""
        own = dict(self.network.named_parameters())
        values = own.values() if name == "raw" else self.emas[name].values
        return {n: value.detach() for n, value in zip(own, values, strict=True)}


def _optimiser(network: nn.Module, config: TrainConfig, dtype: torch.dtype) -> AdamW:
    rate, decay, betas = config.learning_rate, config.weight_decay, (config.beta1, config.beta2)
    if config.optimiser == "muon":
        return Muon(network, dtype, lr=rate, betas=betas, weight_decay=decay)
    if config.label_learning_rate is None:
        return AdamW(network.parameters(), rate, betas, weight_decay=decay, fused=True)
    embedding = list(network.get_submodule("class_embedding").parameters())
    apart = {id(weight) for weight in embedding}
    others = [weight for weight in network.parameters() if id(weight) not in apart]
    faster: dict[str, Any] = {"params": embedding, "scale": config.label_learning_rate / rate}
    groups: list[dict[str, Any]] = [{"params": others}, faster]
    return AdamW(groups, rate, betas, weight_decay=decay, fused=True)


def training_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """Choose the type to compute in: bfloat16 if `config` asks for it and the device is fast at it.

    Float16 is never chosen: it would need a scaled loss.
    """
    fast = config.precision == "fast" and fast_dtype(device) == torch.bfloat16
    return torch.bfloat16 if fast else torch.float32


def objective_of(architecture: Architecture, config: TrainConfig) -> TrainingObjective:
    """Make the objective that `config` sets for a network of this architecture."""
    if config.autoencoder is not None:
        return AutoencoderObjective(config.autoencoder)
    if config.stage is not None:
        return StageObjective(
            architecture.schedule,
            architecture.target,
            std=architecture.stage_bands.std,
            exponent=config.stage.band_exponent,
        )
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
    state: TrainState,
    data: Examples,
    processes: Processes | None = None,
) -> Iterator[TrainStep]:
    """Train on from the step of `state` to the end of the schedule, a step for each `next`.

    Between steps the state is complete: the caller may save it, or close the stream to stop.

    Yields:
        A TrainStep after each step.
    """
    processes = processes or Processes()
    objective = objective_of(architecture, config)
    network = processes.wrap(state.network)
    timesteps = objective.timesteps

    def own_rows(step: int) -> list[Batch]:
        views, parts = data.views(config, step, timesteps), config.accumulate
        own = (processes.rows(config.batch_size, part, parts) for part in range(parts))
        return [views.rows(rows) for rows in own]

    steps = range(state.step, config.total_steps)
    ready = ahead(own_rows, steps)
    for step in steps:
        started = time.perf_counter()
        rate = config.rate_at(step)
        parts = []
        for part, rows in enumerate(next(ready)):
            with processes.averaging(network, part == config.accumulate - 1):
                parts.append(_backward(state, network, objective, rows, config.accumulate))
        gradient_norm = _update(config, state, rate)
        total, simple, t = (
            processes.gather(torch.cat(each)).cpu() for each in zip(*parts, strict=True)
        )
        yield TrainStep(
            step=state.step,
            views=state.step * config.batch_size,
            loss=float(total.mean()),
            learning_rate=rate,
            loss_by_quarter=by_quarter(simple, t, timesteps),
            gradient_norm=float(gradient_norm),
            size=config.size_at(step),
            pictures_per_second=config.batch_size / (time.perf_counter() - started),
        )


def ahead(make: Callable[[int], T], items: range) -> Iterator[T]:
    """Yield make(item) of each item in order, while a thread makes the next."""
    pool = ThreadPoolExecutor(1)
    coming: Future[T] | None = None
    try:
        for item in items:
            ready, coming = coming, pool.submit(make, item)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _backward(
    state: TrainState, network: nn.Module, objective: TrainingObjective, rows: Batch, parts: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the gradients of `rows`, one of the `parts` of this process's share of a step.

    Returns:
        The rows' total and simple losses and their timesteps, on the network's device, where
        several processes exchange them.
    """
    losses = objective.of_batch(state, rows, network=network)
    (losses.total.mean() / parts).backward()
    return losses.total.detach(), losses.simple.detach(), rows.t.to(losses.total.device)


def _update(config: TrainConfig, state: TrainState, learning_rate: float) -> Tensor:
    """Step the optimiser and the averages; return the gradient's norm before clipping."""
    parameters = list(state.network.parameters())
    norm = nn.utils.clip_grad_norm_(parameters, config.gradient_clip or float("inf"))
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate * group.get("scale", 1)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    for ema in state.emas.values():
        ema.update(parameters, state.step)
    return norm


def by_quarter(losses: Tensor, t: Tensor, timesteps: int) -> tuple[float | None, ...]:
    """Average the `losses` (B,) whose `t` (B,) lies in each quarter of [0, T); None if none do."""
    quarter = t * QUARTERS // timesteps
    parts = [losses[quarter == q] for q in range(QUARTERS)]
    return tuple(float(part.mean()) if len(part) else None for part in parts)
