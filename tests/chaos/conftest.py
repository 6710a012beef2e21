"""Schedules run in the directory of their handlers."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, redis_binary: str) -> None:
    """Where the handlers are found; and no schedule without a Redis."""
    monkeypatch.chdir(Path(__file__).parent)
