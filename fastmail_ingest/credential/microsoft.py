"""Access tokens from Microsoft by msal: the device code flow, then silently. Needs the extra `microsoft`."""

import time
from types import ModuleType
from typing import Any

import requests
from msgspec.structs import replace

from fastmail_ingest.config import Account
from fastmail_ingest.credential import transport
from fastmail_ingest.credential.answer import INVALID_GRANT, Denied, refusal, shown
from fastmail_ingest.credential.grant import Grant, is_token, lasts_s
from fastmail_ingest.credential.wording import setup_command
from fastmail_ingest.errors import ConfigError, GrantRevoked, LoginRefused, TokenUnavailable

# Microsoft, "Authenticate an IMAP, POP or SMTP connection using OAuth".
SCOPE = "https://outlook.office.com/IMAP.AccessAsUser.All"
SIGN_IN_S = 900.0  # how long a human may take
_HOUR_S = 3600.0


def _msal() -> ModuleType:
    try:
        import msal  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            "oauth_client_id needs the package msal, which is not installed. remedy: pip install "
            "'fastmail-ingest[microsoft]'"
        ) from None
    return msal  # type: ignore[no-any-return]


class MicrosoftIssuer:
    """Renews the tokens of a user who has signed in once (`auth setup`)."""

    method = "microsoft"

    def __init__(self, account: Account) -> None:
        self.user = account.user
        self._account = account

    def renew(self, grant: Grant | None) -> Grant:
        """By the refresh token in msal's cache; Microsoft replaces that, and the older stays good."""
        if grant is None or not grant.cache:
            raise GrantRevoked(f"{self.user} has not been asked yet. remedy: {setup_command(self._account)}")
        if grant.client_id != self._account.oauth_client_id:
            raise GrantRevoked(
                f"the tokens of {self.user} belong to another application than oauth_client_id. remedy: "
                f"{setup_command(self._account)}"
            )
        entry = MicrosoftEntry(self._account, grant.cache)
        return entry.silently(grant)

    def remedy(self, code: str) -> str:
        """What a human can do."""
        if code == INVALID_GRANT:
            return (
                f"{setup_command(self._account)}. Grants end when the password is changed, when they are not "
                "used for 90 days, and when an administrator takes them back or asks for more at sign-in"
            )
        if code in {"invalid_client", "unauthorized_client"}:
            return (
                "in the Entra admin center see that the application (oauth_client_id) exists, and that "
                "Authentication > Allow public client flows is on"
            )
        return setup_command(self._account)


class MicrosoftEntry:
    """msal at work for one account, over requests of ours."""

    def __init__(self, account: Account, cache: str = "", deadline_s: float = transport.DEADLINE_S) -> None:
        self._account = account
        msal = _msal()
        self._cache = msal.SerializableTokenCache()
        try:
            self._cache.deserialize(cache or None)
        except ValueError:
            raise ConfigError(
                f"the tokens of {account.user} cannot be read. remedy: {setup_command(account)}"
            ) from None
        self._session = transport.session(deadline_s)
        self._app = _answered(
            lambda: msal.PublicClientApplication(
                account.oauth_client_id,
                authority=account.oauth_authority,
                token_cache=self._cache,
                http_client=self._session,
                # Whom to trust is configured; there is nobody to ask about it.
                instance_discovery=False,
            )
        )

    def silently(self, grant: Grant) -> Grant:
        """A new access token without the user. Raises Denied or TokenUnavailable."""
        known = self._app.get_accounts()
        if not known:
            raise Denied(INVALID_GRANT, "there is no refresh token")
        answer = _answered(
            lambda: self._app.acquire_token_silent_with_error([SCOPE], known[0], force_refresh=True)
        )
        return self._granted(grant, answer)

    def device_flow(self) -> dict[str, Any]:
        """A sign-in to be done in any browser: `message` tells where and with which code."""
        flow: dict[str, Any] = _answered(lambda: self._app.initiate_device_flow([SCOPE]))
        if not isinstance(flow.get("message"), str):
            raise _as_error(refusal(flow, ()))
        flow["expires_at"] = min(flow["expires_at"], time.time() + SIGN_IN_S)
        return flow

    def grant_by(self, flow: dict[str, Any]) -> Grant:
        """Wait until the user has signed in. Raises LoginRefused or TokenUnavailable."""
        answer = _answered(lambda: self._app.acquire_token_by_device_flow(flow))
        if isinstance(answer, dict) and answer.get("error") in {"authorization_pending", "expired_token"}:
            raise LoginRefused("nobody has signed in in time. remedy: start again")
        grant = Grant(
            method=MicrosoftIssuer.method,
            user=self._account.user,
            client_id=self._account.oauth_client_id,
            scopes=[SCOPE],
        )
        try:
            return self._granted(grant, answer)
        except Denied as error:
            raise _as_error(error) from None

    @property
    def signed_in(self) -> str:
        """Who has signed in, as Microsoft names them; it may be a delegate of the mailbox's owner."""
        known = self._app.get_accounts()
        return shown(str(known[0].get("username", "")), ()) if known else ""

    def _granted(self, grant: Grant, answer: Any) -> Grant:
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not is_token(token):
            raise refusal(answer, (grant.access_token,))
        now = time.time()
        return replace(
            grant,
            access_token=token,
            obtained_at=now,
            expires_at=now + lasts_s(answer.get("expires_in"), otherwise=_HOUR_S),
            cache=self._cache.serialize(),
            revoked="",
            revoked_at=0.0,
        )


def _answered(ask: Any) -> Any:
    """What msal returns; all that it raises means that there was no sensible answer."""
    try:
        return ask()
    except requests.RequestException as error:
        raise TokenUnavailable(transport.unanswered(error)) from None
    except Exception as error:
        # msal's own words quote whole answers.
        raise TokenUnavailable(
            f"the token endpoint sent an answer that is none ({type(error).__name__}). remedy: check "
            "oauth_authority, and the tenant in it"
        ) from None


def _as_error(error: Denied | TokenUnavailable) -> LoginRefused | TokenUnavailable:
    """For a human who is just setting up: there is no grant yet that could be gone."""
    if isinstance(error, TokenUnavailable):
        return error
    return LoginRefused(
        f"the sign-in was refused ({error}). remedy: check oauth_client_id, that the application allows "
        "public client flows and has the permission IMAP.AccessAsUser.All; see docs/OAUTH2_SETUP.md"
    )
