"""A Hub of our own, and a client's side that knows nothing of the machine's caches and tokens."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
import pytest

from app.hub.download import HubModels
from app.hub.library import HubLibrary
from app.hub.transfer import Transfer
from app.models.cache import MemoryBudget
from app.models.files import ModelInfo
from app.models.store import ModelStore
from tests.hub.stand_in import StandIn, stand_in_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with stand_in_hub() as served:
        yield served
    huggingface_hub.close_session()


@dataclass(frozen=True)
class Here:
    """One machine: its library, its store, and what adds models to them."""

    library: HubLibrary
    store: ModelStore
    models: HubModels

    def add(self, name: str, revision: str = "") -> tuple[list[Transfer], ModelInfo]:
        stream = self.models.add(name, revision)
        transfers = []
        while True:
            try:
                transfers.append(next(stream))
            except StopIteration as end:
                return transfers, end.value


MakeHere = Callable[..., Here]


@pytest.fixture
def make_here(tmp_path: Path) -> MakeHere:
    def make(endpoint: str, token: str | bool | None = False, megabytes: int = 0) -> Here:
        library = HubLibrary(tmp_path / "data", tmp_path / "cache")
        budget = MemoryBudget(megabytes)
        store = ModelStore([], "cpu", 1, budget, library.models)
        return Here(library, store, HubModels(library, store, endpoint, token))

    return make


@pytest.fixture
def here(hub: StandIn, make_here: MakeHere) -> Here:
    return make_here(hub.url)
