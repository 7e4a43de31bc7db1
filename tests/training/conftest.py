from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.tiny import save_pictures


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums come out the same bit for bit only with a fixed number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))
