"""A model whose T is 100: all of its steps are taken in a second."""

import json
from pathlib import Path

import pytest

from tests.conftest import save_tiny_model


@pytest.fixture(scope="session")
def short_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `short`, of 100 timesteps."""
    root = tmp_path_factory.mktemp("short")
    save_tiny_model(root / "short")
    path = root / "short" / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"num_train_timesteps": 100, "beta_end": 0.1}))
    return root
