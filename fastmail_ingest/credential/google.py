"""Access tokens from Google: for a user who gave consent, and for a service account of Workspace."""

import time
from datetime import UTC
from typing import Any

import google.auth.transport.requests
import requests
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account
from msgspec.structs import replace

from fastmail_ingest.config import Account
from fastmail_ingest.credential import transport
from fastmail_ingest.credential.answer import INVALID_GRANT, refusal
from fastmail_ingest.credential.client_file import read_client, read_service_key
from fastmail_ingest.credential.grant import Grant, is_token
from fastmail_ingest.credential.wording import setup_command
from fastmail_ingest.errors import ConfigError, GrantRevoked, TokenUnavailable

# The only scope that Gmail's IMAP takes (Google, "OAuth 2.0 Mechanism", Gmail API reference).
SCOPE = "https://mail.google.com/"
_HOUR_S = 3600.0  # what Google's tokens last, for an answer that does not say
_REVOKED = "invalid_token"


class UserIssuer:
    """Renews the tokens of a user who has been asked once (`auth setup`)."""

    method = "google"

    def __init__(self, account: Account) -> None:
        self.user = account.user
        self._account = account

    def renew(self, grant: Grant | None) -> Grant:
        """By the refresh token, which stays the same (RFC 6749 6)."""
        client = read_client(self._account.oauth_client_file)
        if grant is None or not grant.refresh_token:
            raise GrantRevoked(f"{self.user} has not been asked yet. remedy: {setup_command(self._account)}")
        if grant.client_id != client.id:
            raise GrantRevoked(
                f"the tokens of {self.user} belong to another OAuth client than that of oauth_client_file. "
                f"remedy: {setup_command(self._account)}, or put the old client file back"
            )
        made = user_credentials.Credentials(  # type: ignore[no-untyped-call]
            token=None,
            refresh_token=grant.refresh_token,
            token_uri=client.token_uri,
            client_id=client.id,
            client_secret=client.secret,
        )
        renewed = _refreshed(grant, made, (grant.refresh_token, client.secret))
        return replace(renewed, refresh_token=made.refresh_token or grant.refresh_token)

    def remedy(self, code: str) -> str:
        """What a human can do."""
        if code == INVALID_GRANT:
            return (
                f"{setup_command(self._account)}. Grants end when the password is changed, when they are not "
                "used for 6 months, when the user takes them back, and after 7 days while the consent screen "
                'is in "Testing": publish it'
            )
        if code in {"invalid_client", "deleted_client", "disabled_client", "unauthorized_client"}:
            return "in the Google Cloud console see whether the client still exists, and download its JSON"
        return setup_command(self._account)

    def revoke(self, grant: Grant) -> None:
        """Give the grant back, with all tokens made from it. Raises ConfigError or TokenUnavailable."""
        client = read_client(self._account.oauth_client_file)
        token = grant.refresh_token or grant.access_token
        try:
            answer = transport.session().post(client.revoke_uri, data={"token": token})
        except requests.RequestException as error:
            raise TokenUnavailable(f"the grant could not be revoked: {transport.reason(error)}") from None
        # RFC 7009 2.2: a token that is no good any more counts as revoked.
        if answer.status_code == requests.codes.ok or _REVOKED in answer.text:
            return
        raise TokenUnavailable(f"the grant could not be revoked: the answer was {answer.status_code}")


class ServiceIssuer:
    """Gets tokens for a service account that acts for a user (domain-wide delegation)."""

    method = "service_account"

    def __init__(self, account: Account) -> None:
        self.user = account.user
        self._account = account

    def renew(self, grant: Grant | None) -> Grant:
        """By a signed assertion (RFC 7523); nothing of an older grant is needed."""
        key = read_service_key(self._account.service_account_file)
        try:
            made = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
                {
                    "client_email": key.client_email,
                    "private_key": key.private_key,
                    "token_uri": key.token_uri,
                },
                scopes=[SCOPE],
                subject=self.user,
            )
        except (ValueError, GoogleAuthError):
            raise ConfigError(
                f"{self._account.service_account_file}: its private_key cannot be read. remedy: download a "
                "new key"
            ) from None
        grant = Grant(method=self.method, user=self.user, client_id=key.client_id, scopes=[SCOPE])
        return _refreshed(grant, made, (key.private_key,))

    def remedy(self, code: str) -> str:
        """What a human can do."""
        if code == "unauthorized_client":
            return (
                "in the Workspace admin console, under Security > API controls > Domain-wide delegation, "
                f"allow the service account's client id the scope {SCOPE}; it may take up to a day"
            )
        if code == INVALID_GRANT:
            return "check that user is a mailbox of that Workspace, and that this machine's clock is right"
        return "check service_account_file: its key, or the service account, may have been deleted"


def _refreshed(grant: Grant, made: Any, secrets: tuple[str, ...]) -> Grant:
    """The grant with a new access token from google-auth's `made`. Raises Denied or TokenUnavailable."""
    now = time.time()
    try:
        made.refresh(google.auth.transport.requests.Request(transport.session()))
    except TransportError as error:
        raise TokenUnavailable(transport.unanswered(error)) from None
    except RefreshError as error:
        raise refusal(error.args[1] if len(error.args) > 1 else None, secrets) from None
    except Exception as error:
        # Whatever google-auth trips over in an answer that is JSON, but not what was asked for.
        raise TokenUnavailable(
            f"the token endpoint sent an answer that is none ({type(error).__name__})"
        ) from None
    expires_at = made.expiry.replace(tzinfo=UTC).timestamp() if made.expiry else now + _HOUR_S
    if not is_token(made.token) or expires_at <= now:
        raise TokenUnavailable("the token endpoint sent something else than a token")
    return replace(
        grant, access_token=made.token, obtained_at=now, expires_at=expires_at, revoked="", revoked_at=0.0
    )
