"""How full the stream and its Redis are."""

import msgspec


class RedisMemory(msgspec.Struct, frozen=True):
    """Bytes that Redis uses, and bytes that it may use; a limit of 0 is unknown."""

    used: int
    limit: int
