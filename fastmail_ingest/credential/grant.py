"""What is kept of the permission to read one mailbox, and how long its access token is good."""

import re

from msgspec import Struct

VERSION = 1
# A token is replaced so long before its end: a login, and what the server does with it, takes its time.
EARLY_S = 300.0
# While the token endpoint does not answer, one that is good so long yet will do.
AT_LEAST_S = 60.0
# No access token lives so long; an endpoint that says so may say anything, also what no clock can hold.
_LASTS_MAX_S = 366 * 86_400

# RFC 6750 2.1; a control character would end the SASL message that the token stands in.
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


class Grant(Struct, frozen=True, kw_only=True):
    """The grant of one user to one client. Times are seconds since 1970.

    `cache` is what msal keeps, in its own form. `revoked` says why no token is to be had any more.
    """

    version: int = VERSION
    method: str
    user: str
    client_id: str
    scopes: list[str] = []
    refresh_token: str = ""
    cache: str = ""
    access_token: str = ""
    obtained_at: float = 0.0
    expires_at: float = 0.0
    revoked: str = ""
    revoked_at: float = 0.0
    set_up_at: float = 0.0  # when the user was asked; no renewal changes it

    def __repr__(self) -> str:
        return f"Grant(method={self.method!r}, user={self.user!r})"  # no token has a way into a traceback

    def good(self, now: float) -> bool:
        """Whether the access token need not be replaced yet."""
        # Some token endpoints give out short ones; a new one must not count as old at once.
        early_s = min(EARLY_S, (self.expires_at - self.obtained_at) / 2)
        return self._alive and now < self.expires_at - early_s

    def will_do(self, now: float) -> bool:
        """Whether the access token may still be used if there is no newer one."""
        return self._alive and now < self.expires_at - AT_LEAST_S

    @property
    def _alive(self) -> bool:
        return bool(self.access_token) and not self.revoked


def is_token(text: object) -> bool:
    """Whether it looks like an access token that can be handed to a mail server."""
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


def lasts_s(told: object, otherwise: float) -> float:
    """For how long a token is good by the endpoint's `expires_in`; `otherwise` if that is no such time."""
    # NaN passes no comparison.
    return told if isinstance(told, int | float) and 0 <= told <= _LASTS_MAX_S else otherwise
