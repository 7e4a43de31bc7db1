"""Streams share a network a step at a time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import pytest
import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.errors import StudioError
from app.networks.devices import choose_device
from app.networks.executor import DeviceExecutor
from app.networks.unet import SharedDenoiser


class Recorder:
    """A network that notes who ran it and how many were inside at once."""

    def __init__(self, channels: int = 3) -> None:
        self.threads: set[int] = set()
        self.inside = 0
        self.most_inside = 0
        self.order: list[int] = []
        self.channels = channels

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.threads.add(threading.get_ident())
        self.order.append(int(t[0]))
        time.sleep(0.002)
        self.inside -= 1
        return torch.arange(self.channels).float().view(1, -1, 1, 1).expand(len(x_t), -1, 2, 2)


def step(denoiser: SharedDenoiser, t: int) -> Tensor:
    return denoiser.predict(torch.zeros(1, 3, 2, 2), torch.tensor([t]), None).output


def test_steps_run_one_at_a_time_on_one_thread_and_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, executor = Recorder(), DeviceExecutor()
    denoiser = SharedDenoiser(network.forward, executor, "epsilon", 3)
    which = threading.local()
    came: list[int] = []
    door, submit = threading.Lock(), executor.submit

    def enter(work: Callable[..., object], *arguments: object) -> Future[object]:
        with door:  # so that who comes first is known for certain
            came.append(which.stream)
            return submit(work, *arguments)

    monkeypatch.setattr(executor, "submit", enter)

    def stream(number: int) -> None:
        which.stream = number
        for _ in range(20):
            step(denoiser, number)

    streams = [threading.Thread(target=stream, args=(i,)) for i in range(3)]
    for thread in streams:
        thread.start()
    for thread in streams:
        thread.join()
    executor.shutdown()
    assert network.most_inside == 1
    assert len(network.threads) == 1
    assert threading.get_ident() not in network.threads
    # First come, first served: a stream that has had its step waits behind all that came before.
    assert sorted(came) == sorted(list(range(3)) * 20)
    assert network.order == came


def test_an_error_in_the_network_reaches_its_own_stream_only() -> None:
    class Broken(Recorder):
        def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
            raise ValueError("broken")

    executor = DeviceExecutor()
    with pytest.raises(ValueError, match="broken"):
        step(SharedDenoiser(Broken().forward, executor, "epsilon", 3), 0)
    assert step(SharedDenoiser(Recorder().forward, executor, "epsilon", 3), 0).shape == (1, 3, 2, 2)
    executor.shutdown()


def test_an_output_of_twice_the_channels_carries_the_variance() -> None:
    executor = DeviceExecutor()
    denoiser = SharedDenoiser(Recorder(6).forward, executor, "v_prediction", 3)
    condition = Condition(torch.tensor([1]))
    answer = denoiser.predict(torch.zeros(1, 3, 2, 2), torch.tensor([0]), condition)
    executor.shutdown()
    assert answer.target == "v_prediction"
    assert answer.variance is not None
    assert answer.output[0, :, 0, 0].tolist() == [0, 1, 2]
    assert answer.variance[0, :, 0, 0].tolist() == [3, 4, 5]


def test_the_owner_computes_with_the_processors_that_are_free() -> None:
    executor, used = DeviceExecutor(3), []
    for free in (5, 2, 1, 3):
        executor.keep_to(free)
        used.append(executor.submit(torch.get_num_threads).result())
    executor.shutdown()
    assert used == [3, 2, 1, 3]


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(StudioError, match=missing):
        choose_device(missing)
