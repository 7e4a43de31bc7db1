"""What a test does where the machine lacks what it needs."""

import os
from typing import NoReturn

import pytest


def lacking(words: str) -> NoReturn:
    """Skip the test, saying what to install; where CI=true fail it, for there all is installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(words, pytrace=False)
    pytest.skip(words)
