"""`status`: how the stream, the accounts and their mailboxes stand, and what a running supervisor does."""

import sys
import time

import msgspec
from rich.text import Text

from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.looks import (
    HTTP_TIMEOUT_S,
    Looking,
    RedisLook,
    Seen,
    StreamSeen,
    SupervisorLook,
    SupervisorSeen,
)
from fastmail_ingest.app.operate.status_parts import parts
from fastmail_ingest.config import Config
from fastmail_ingest.errors import StreamUnavailable

__all__ = ["say_json", "show"]

# Two questions, and their answers may come in pieces.
_SUPERVISOR_DEADLINE_S = 3 * HTTP_TIMEOUT_S


def show(config: Config, *, as_json: bool) -> None:
    """Look once and print it. Raises StreamUnavailable behind it if Redis says nothing."""
    supervisor = Looking(SupervisorLook(config), None, lambda: None)
    redis = RedisLook(config)
    found = redis()
    redis.close()
    supervisor.wait(_SUPERVISOR_DEADLINE_S)
    silent = SupervisorSeen(error=f"no answer over HTTP within {_SUPERVISOR_DEADLINE_S:.0f} s")
    seen = Seen(time.time(), found, supervisor.latest(silent))
    if as_json:
        say_json(seen)
    elif seen.stream is not None or seen.supervisor.snapshot is not None:
        console = words.console()
        # Why Redis says nothing comes last, as an error.
        for part in parts(msgspec.structs.replace(seen, redis=StreamSeen()) if found.error else seen):
            console.print(part, soft_wrap=isinstance(part, Text))
    if found.error:
        raise StreamUnavailable(found.error)


def say_json(seen: Seen) -> None:
    """Print one JSON object on one line."""
    facts = {
        "time": seen.time,
        "stream": seen.redis.stream,
        "accounts": seen.redis.accounts,
        "redis_error": seen.redis.error,
        "redis_silent_s": seen.redis_silent_s,
        "supervisor": seen.supervisor.snapshot,
        "supervisor_error": seen.supervisor.error,
        "supervisor_silent_s": seen.supervisor_silent_s,
    }
    words.say_json(msgspec.to_builtins(facts))
    sys.stdout.flush()
