"""Whether an account logs in with something else than before: told without giving the secret away."""

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from fastmail_ingest.app.credentials import token_file_of
from fastmail_ingest.config import Account
from fastmail_ingest.errors import ConfigError

# scrypt: whoever reads Redis shall not be able to try passwords quickly (RFC 7914 2).
_COST = {"n": 2**14, "r": 8, "p": 1}
_BYTES = 8


def fingerprint(account: Account) -> str:
    """16 hex digits, equal as long as user and password are.

    Of an account that logs in by tokens: as long as it has not been set up anew and the file of the client,
    or of the key, is the same.
    """
    if account.password:
        return _of_password(account.name, account.user, account.password)
    # Times and names, no secrets: nothing is to be guessed from them.
    parts = (
        account.name, account.user, account.oauth_client_id, _set_up_at(account),
        _written_at(account.oauth_client_file), _written_at(account.service_account_file),
    )  # fmt: skip
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[: 2 * _BYTES]


@cache
def _of_password(name: str, user: str, password: str) -> str:
    salt = f"{name}\0{user}".encode()
    return hashlib.scrypt(password.encode(), salt=salt, dklen=_BYTES, **_COST).hex()


def _set_up_at(account: Account) -> float:
    """When the user was last asked for a grant; 0.0 if that cannot be told."""
    with suppress(ConfigError):
        if account.token_file and (grant := token_file_of(account).read()) is not None:
            return grant.set_up_at
    return 0.0


def _written_at(path: str) -> int:
    with suppress(OSError):
        return Path(path).stat().st_mtime_ns if path else 0
    return 0
