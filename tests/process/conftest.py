"""Supervised processes on a simulated mailbox and a Redis of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.redis_server import RedisServer
from support.supervised import Supervised

SLOW = """

    import time

    def handle(email):
        note(email)
        time.sleep(0.001)
"""


class House:
    """Makes supervised processes and ends what is left of them."""

    def __init__(self, directory: Path, port: int, redis_url: str) -> None:
        self._directory, self._port, self._redis_url = directory, port, redis_url
        self._made: list[Supervised] = []

    def __call__(self, body: str = SLOW, **settings: str) -> Supervised:
        made = Supervised(self._directory, self._port, self._redis_url, body, **settings)
        self._made.append(made)
        return made

    def close(self) -> None:
        for made in self._made:
            made.close()


@pytest.fixture
def house(tmp_path: Path, simulated, redis_server: RedisServer) -> Iterator[House]:
    made = House(tmp_path, simulated.port, redis_server.url)
    yield made
    made.close()
