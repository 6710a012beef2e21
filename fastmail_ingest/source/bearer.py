"""The client's side of the SASL mechanisms that carry an access token: XOAUTH2 and OAUTHBEARER."""

import json

# Sources: Google, "The SASL XOAUTH2 mechanism"; RFC 7628.
XOAUTH2 = "XOAUTH2"
OAUTHBEARER = "OAUTHBEARER"
_STATUS_MAX = 60  # characters


class Bearer:
    """One exchange, to be called with each challenge of the server.

    A refusal is a second challenge, with JSON in it; it wants an answer before the server says NO, and the
    token is not to be sent again. `status` is what that JSON says.
    """

    def __init__(self, mechanism: str, user: str, token: str) -> None:
        self.mechanism = mechanism
        if mechanism == OAUTHBEARER:
            # RFC 5801 4: a comma and an equals sign in the name are escaped.
            name = user.replace("=", "=3D").replace(",", "=2C")
            self._message = f"n,a={name},\x01auth=Bearer {token}\x01\x01".encode()
            self._dismissal = b"\x01"  # RFC 7628 3.2.3
        else:
            self._message = f"user={user}\x01auth=Bearer {token}\x01\x01".encode()
            self._dismissal = b""
        self._step = 0
        self.status = ""

    def __call__(self, challenge: bytes) -> bytes | None:
        """What to answer; None cancels an exchange that goes on for ever."""
        self._step += 1
        if self._step == 1:
            return self._message
        if self._step == 2:
            self.status = _status_in(challenge)
            return self._dismissal
        return None


def _status_in(challenge: bytes) -> str:
    try:
        said = json.loads(challenge)
    except (ValueError, RecursionError):
        return ""
    status = said.get("status") if isinstance(said, dict) else None
    if not isinstance(status, str | int):
        return ""
    return "".join(char for char in str(status)[:_STATUS_MAX] if char.isprintable())
