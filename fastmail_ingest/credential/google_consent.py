"""Asking a Google user for the grant: OAuth2 for installed apps, with PKCE and state (RFC 8252, RFC 7636)."""

import time
from typing import Any

import requests
from google_auth_oauthlib.flow import InstalledAppFlow
from oauthlib.oauth2 import OAuth2Error

from fastmail_ingest.config import Account
from fastmail_ingest.credential import transport
from fastmail_ingest.credential.answer import INVALID_GRANT, shown
from fastmail_ingest.credential.client_file import read_client
from fastmail_ingest.credential.google import SCOPE, UserIssuer
from fastmail_ingest.credential.grant import Grant, is_token, lasts_s
from fastmail_ingest.credential.wording import setup_command
from fastmail_ingest.errors import LoginRefused, TokenUnavailable


class Consent:
    """One request for a grant. The user opens `url`; what comes back must have `state`."""

    def __init__(self, account: Account, redirect_uri: str) -> None:
        self._account = account
        self._client = read_client(account.oauth_client_file)
        config = {
            "installed": {
                "client_id": self._client.id,
                "client_secret": self._client.secret,
                "auth_uri": self._client.auth_uri,
                "token_uri": self._client.token_uri,
            }
        }
        self._flow = InstalledAppFlow.from_client_config(config, [SCOPE])
        self._flow.redirect_uri = redirect_uri
        # prompt=consent: without it Google gives a refresh token only the first time.
        self.url, self.state = self._flow.authorization_url(prompt="consent", login_hint=account.user)

    def grant(self, code: str) -> Grant:
        """The grant for an authorization code. Raises LoginRefused or TokenUnavailable."""
        now = time.time()
        answer = self._exchanged(code)
        access_token, refresh_token = answer.get("access_token"), answer.get("refresh_token")
        if not is_token(access_token) or not is_token(refresh_token):
            raise TokenUnavailable("the token endpoint sent no tokens. remedy: start again")
        return Grant(
            method=UserIssuer.method,
            user=self._account.user,
            client_id=self._client.id,
            scopes=[SCOPE],
            refresh_token=refresh_token,
            access_token=access_token,
            obtained_at=now,
            # Not told: as good as none, and it is renewed at its first use.
            expires_at=now + lasts_s(answer.get("expires_in"), otherwise=0.0),
        )

    def _exchanged(self, code: str) -> Any:
        transport.guard(self._flow.oauth2session)
        try:
            return self._flow.fetch_token(code=code, include_client_id=True)
        except requests.RequestException as error:
            raise TokenUnavailable(transport.unanswered(error)) from None
        except OAuth2Error as error:
            raise self._refused(error, code) from None
        except Warning:
            # How oauthlib says that other scopes were granted than were asked for.
            raise LoginRefused(
                "the access to the mail was not allowed. remedy: start again, and check the box for Gmail on "
                "the consent page"
            ) from None
        except Exception as error:
            raise TokenUnavailable(
                f"the token endpoint sent an answer that is none ({type(error).__name__})"
            ) from None

    def _refused(self, error: OAuth2Error, code: str) -> LoginRefused | TokenUnavailable:
        words = shown(f"{error.error}: {error.description}", (code, self._client.secret))
        if error.error == INVALID_GRANT:
            return LoginRefused(
                f"the code was not taken ({words}). remedy: it works once and for some minutes only: "
                f"{setup_command(self._account)}"
            )
        if error.error in {"invalid_client", "unauthorized_client", "deleted_client", "disabled_client"}:
            return LoginRefused(
                f"the OAuth client was not taken ({words}). remedy: download its JSON from the Google Cloud "
                "console again"
            )
        return TokenUnavailable(f"the token endpoint gives no tokens ({words})")
