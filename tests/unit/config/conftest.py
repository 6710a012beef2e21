"""What the tests of the configuration share: a secret, and a file that loads."""

from collections.abc import Callable
from pathlib import Path

import pytest

SECRET = "hunter2-never-shown"

ACCOUNT = """
[[accounts]]
name = "work"
host = "imap.example.com"
user = "me@example.com"
password_file = "work.password"
"""

WriteConfig = Callable[[str], Path]


@pytest.fixture
def secret() -> str:
    return SECRET


@pytest.fixture
def account() -> str:
    return ACCOUNT


@pytest.fixture
def write(tmp_path: Path) -> WriteConfig:
    """Write a supervisor.toml beside its work.password, both private; returns its path."""
    password = tmp_path / "work.password"
    password.write_text(SECRET + "\n")
    password.chmod(0o600)

    def write_config(text: str) -> Path:
        path = tmp_path / "supervisor.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write_config
