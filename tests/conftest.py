"""Which servers a test may use. At a desk a missing one skips its tests; in CI it fails them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from support.dovecot import Dovecot
from support.postgres_server import PostgresServer, find_binaries
from support.redis_server import RedisServer
from support.simulated import Simulated
from support.token_endpoint import TokenEndpoint

# No test asserts a time: a busy machine is no defect. "too_slow" would be such an assertion, too.
hypothesis.settings.register_profile(
    "house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("house")


def need(found: str | None, name: str, package: str) -> str:
    if found:
        return found
    message = f"{name} is not installed (apt install {package})"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def redis_binary() -> str:
    return need(shutil.which("redis-server"), "redis-server", "redis-server")


@pytest.fixture(scope="session")
def dovecot_binary() -> str:
    sbin = "/usr/sbin/dovecot"
    return need(sbin if Path(sbin).exists() else None, "Dovecot", "dovecot-imapd")


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    return need(shutil.which("systemd-analyze"), "systemd-analyze", "systemd")


@pytest.fixture(scope="session")
def logrotate() -> str:
    sbin = "/usr/sbin/logrotate"
    return need(
        shutil.which("logrotate") or (sbin if Path(sbin).exists() else None), "logrotate", "logrotate"
    )


@pytest.fixture(scope="session")
def promtool() -> str:
    return need(shutil.which("promtool"), "promtool", "prometheus")


@pytest.fixture(scope="session")
def prometheus_binary() -> str:
    return need(shutil.which("prometheus"), "prometheus", "prometheus")


@pytest.fixture(scope="session")
def dovecot(dovecot_binary: str) -> Iterator[Dovecot]:
    server = Dovecot(dovecot_binary)
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer(need(find_binaries(), "PostgreSQL", "postgresql"))
    yield server
    server.close()


@pytest.fixture
def redis_server(redis_binary: str) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary)
    yield server
    server.close()


@pytest.fixture
def simulated() -> Iterator[Simulated]:
    made = Simulated()
    with made.server:
        yield made


@pytest.fixture(scope="session")
def token_server() -> Iterator[TokenEndpoint]:
    made = TokenEndpoint()
    yield made
    made.close()


@pytest.fixture
def token_endpoint(token_server: TokenEndpoint, monkeypatch: pytest.MonkeyPatch) -> TokenEndpoint:
    """A stand-in for Google and Microsoft, trusted by this process."""
    token_server.reset()
    for name, value in token_server.trust.items():
        monkeypatch.setenv(name, value)
    return token_server
