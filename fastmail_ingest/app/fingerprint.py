"""Whether an account logs in with something else than before: told without giving the secret away."""

import hashlib
from functools import cache

from fastmail_ingest.config import Account

# scrypt: whoever reads Redis shall not be able to try passwords quickly (RFC 7914 2).
_COST = {"n": 2**14, "r": 8, "p": 1}


def fingerprint(account: Account) -> str:
    """16 hex digits, equal as long as user and password are; empty for an account that has no password."""
    return _of(account.name, account.user, account.password) if account.password else ""


@cache
def _of(name: str, user: str, password: str) -> str:
    salt = f"{name}\0{user}".encode()
    return hashlib.scrypt(password.encode(), salt=salt, dklen=8, **_COST).hex()
