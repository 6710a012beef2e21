"""The JSON files that the Google Cloud console gives: of an OAuth2 client, of a service account's key."""

import os
import stat
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from fastmail_ingest.errors import ConfigError

_BYTES_MAX = 64 * 1024
_SERVICE_ACCOUNT = "service_account"
_HELP = "docs/OAUTH2_SETUP.md says where it comes from"
_Https = Annotated[str, Meta(pattern=r"^https://[^\x00-\x20\x7f]+\Z")]
_Word = Annotated[str, Meta(min_length=1)]
T = TypeVar("T")


class Client(Struct, frozen=True, rename={"id": "client_id", "secret": "client_secret"}):
    """Our program as Google knows it. The secret of a Desktop app is not much of one (RFC 8252 8.5)."""

    id: _Word
    secret: _Word
    auth_uri: _Https
    token_uri: _Https

    def __repr__(self) -> str:
        return f"Client(id={self.id!r})"

    @property
    def revoke_uri(self) -> str:
        """Where a grant is given back: beside where tokens come from."""
        return f"{self.token_uri.rpartition('/')[0]}/revoke"


class _ClientFile(Struct):
    installed: Client | None = None
    web: dict[str, Any] | None = None
    type: str = ""


class ServiceKey(Struct, frozen=True):
    """A service account's key: whoever has it is the service account."""

    type: _Word
    client_email: _Word
    client_id: _Word
    private_key: _Word
    token_uri: _Https

    def __repr__(self) -> str:
        return f"ServiceKey(client_email={self.client_email!r})"


def read_client(path: str) -> Client:
    """The client in `oauth_client_file`. Raises ConfigError."""
    found = _read(path, "oauth_client_file", _ClientFile)
    if found.type == _SERVICE_ACCOUNT:
        raise ConfigError(
            f"{path}: this is the key of a service account, not an OAuth client. remedy: write "
            "service_account_file instead of oauth_client_file, if the domain's administrator has allowed it"
        )
    if found.installed is None:
        kind = "a Web application" if found.web is not None else "something else"
        raise ConfigError(
            f"{path}: expected an OAuth client of the type Desktop app, got {kind}. remedy: in the Google "
            "Cloud console create a client ID of type Desktop app, and download its JSON"
        )
    return found.installed


def read_service_key(path: str) -> ServiceKey:
    """The key in `service_account_file`. Raises ConfigError."""
    key = _read(path, "service_account_file", ServiceKey)
    if key.type != _SERVICE_ACCOUNT:
        raise ConfigError(
            f"{path}: expected the key of a service account, got another file. remedy: in the Google Cloud "
            "console open the service account, Keys, Add key, JSON"
        )
    return key


def _read(path: str, setting: str, kind: type[T]) -> T:
    try:
        with open(path, "rb", opener=_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path}: expected a file, got something else. remedy: check {setting}")
            # The group may read: Kubernetes mounts secrets so (root:fsGroup, 0440).
            if mode & stat.S_IRWXO:
                raise ConfigError(
                    f"{path}: expected a private file, but every user may open it. remedy: chmod 600 {path}"
                )
            raw = file.read(_BYTES_MAX)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(
            f"{path}: expected a readable file, got: {reason}. remedy: check {setting}; {_HELP}"
        ) from None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        # The decoder names the field that is wrong, never its value.
        raise ConfigError(
            f"{path}: not the JSON file that the Google Cloud console gives ({error}). remedy: download it "
            f"again, and check {setting}"
        ) from None


def _at_once(path: str, flags: int) -> int:
    # A named pipe would let us wait for somebody to write.
    return os.open(path, flags | os.O_NONBLOCK)
