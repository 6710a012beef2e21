"""Keeps an account supplied with access tokens: one renewal for all processes, early, and never in vain."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Protocol

from msgspec.structs import replace

from fastmail_ingest.credential.answer import INVALID_GRANT, Denied
from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.errors import ConfigError, GrantRevoked, LoginRefused, TokenUnavailable

_log = logging.getLogger(__name__)

# For a store to be free: longer than one renewal can take, see transport.DEADLINE_S.
LOCK_WAIT_S = 30.0


class Store(Protocol):
    """Where a grant is kept between two uses."""

    def read(self) -> Grant | None:
        """The grant, if there is one. Raises ConfigError."""
        ...

    def write(self, grant: Grant) -> None:
        """Keep this grant instead; only under `locked`. Raises TokenUnavailable."""
        ...

    def locked(self) -> AbstractContextManager[object]:
        """Shut out all others who share the store. Raises TokenUnavailable."""
        ...


class Issuer(Protocol):
    """Who gives out the access tokens of an account."""

    method: str
    user: str

    def renew(self, grant: Grant | None) -> Grant:
        """A grant with a new access token. Raises Denied, ConfigError or TokenUnavailable; or GrantRevoked,
        without asking, if there is nothing to ask with.
        """
        ...

    def remedy(self, code: str) -> str:
        """What a human can do when the answer was `code`."""
        ...


class Memory:
    """A store that lives as long as this process, for grants that can be had again at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._grant: Grant | None = None

    def read(self) -> Grant | None:
        """The grant, if there is one."""
        return self._grant

    def write(self, grant: Grant) -> None:
        """Keep this grant instead."""
        self._grant = grant

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Shut out the other threads. Raises TokenUnavailable if one of them does not let go."""
        if not self._lock.acquire(timeout=LOCK_WAIT_S):
            raise TokenUnavailable(f"another connection has asked for a token for {LOCK_WAIT_S:.0f} s")
        try:
            yield
        finally:
            self._lock.release()


class Keeper:
    """The access tokens of one account. What is in `store` is the truth, it is read at each use.

    Safe for threads: whoever waits while another one asks in vain shares what that one hears.
    """

    def __init__(self, store: Store, issuer: Issuer, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._issuer = issuer
        self._clock = clock
        self._in_vain: tuple[str, str] | None = None  # error code (empty: no answer) and words

    def token(self) -> str:
        """A token that is good for some minutes yet. Raises LoginRefused or TokenUnavailable.

        It is a GrantRevoked if nobody was asked, or need be the next time.
        """
        try:
            grant = self._held()
            if grant is None or not grant.good(self._clock()):
                grant = self._renewed(force=False)
        except ConfigError as error:
            # Of all that is configured only this account is concerned; it is for a human to mend.
            raise GrantRevoked(str(error)) from None
        return grant.access_token

    def refused(self, token: str) -> None:
        """The mail server did not take this token: nobody gets it again. Raises TokenUnavailable."""
        # A file that cannot be read gives nobody a token, which is what is asked for.
        with suppress(ConfigError), self._store.locked():
            grant = self._store.read()
            # Somebody may have renewed it meanwhile, and the new one is not to blame.
            if grant is not None and grant.access_token == token:
                self._store.write(replace(grant, access_token="", expires_at=0.0, obtained_at=0.0))

    def refresh(self) -> Grant:
        """Have the token replaced though it may be good, and ask again though the grant may be gone.

        Raises what `token` does, and ConfigError.
        """
        return self._renewed(force=True)

    def _held(self, *, alive: bool = True) -> Grant | None:
        grant = self._store.read()
        if grant is None:
            return None
        if (grant.method, grant.user) != (self._issuer.method, self._issuer.user):
            raise ConfigError(
                f"the tokens are for {grant.user} ({grant.method}), the account is {self._issuer.user} "
                f"({self._issuer.method}). remedy: {self._issuer.remedy('')}"
            )
        if grant.revoked and alive:
            when = datetime.fromtimestamp(grant.revoked_at, UTC).isoformat(" ", "minutes")
            raise GrantRevoked(
                f"the grant of {grant.user} is gone since {when} ({grant.revoked}). remedy: "
                f"{self._issuer.remedy(INVALID_GRANT)}"
            )
        return grant

    def _renewed(self, *, force: bool) -> Grant:
        known = self._in_vain
        with self._store.locked():
            grant = self._held(alive=not force)
            # Whoever held the lock before us may have done it.
            if grant is not None and not force and grant.good(self._clock()):
                return grant
            try:
                renewed = self._asked(grant, None if force or self._in_vain is known else self._in_vain)
            except Denied as error:
                raise self._final(grant, error) from None
            except TokenUnavailable as error:
                if force or grant is None or not grant.will_do(self._clock()):
                    raise
                _log.warning("the access token of %s ends soon, and: %s", self._issuer.user, error)
                return grant
            # If we die here, the new token is lost and the next one asks again: the old grant is good.
            self._store.write(renewed)
            return renewed

    def _asked(self, grant: Grant | None, heard: tuple[str, str] | None) -> Grant:
        """What the issuer says; `heard` is what it has said to another one while we waited for the lock."""
        if heard is not None:
            code, text = heard
            raise Denied(code, text) if code else TokenUnavailable(text)
        try:
            return self._issuer.renew(grant)
        except Denied as error:
            self._in_vain = (error.code, str(error))
            raise
        except TokenUnavailable as error:
            self._in_vain = ("", str(error))
            raise

    def _final(self, grant: Grant | None, error: Denied) -> LoginRefused:
        text = f"no access token for {self._issuer.user}: {error}. remedy: {self._issuer.remedy(error.code)}"
        # Only this one cannot pass without a new grant; the others end when the client's file is mended.
        if error.code == INVALID_GRANT and grant is not None and grant.refresh_token + grant.cache:
            said = replace(grant, access_token="", revoked=str(error), revoked_at=self._clock())
            self._store.write(said)
            return GrantRevoked(text)
        return LoginRefused(text)
