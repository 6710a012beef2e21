"""Logging in by an access token: on Dovecot, which asks the token endpoint, and on the simulator."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import LoginError
from support.dovecot import Dovecot
from support.token_endpoint import CLIENT_ID, TokenEndpoint

from fastmail_ingest.app.credentials import keeper_of, token_file_of
from fastmail_ingest.config import Account
from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.errors import GrantRevoked, TokenRefused
from fastmail_ingest.source.bearer import OAUTHBEARER, XOAUTH2, Bearer
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.source.session import Tokens

USER = "user@example.com"


@pytest.fixture(scope="module", params=["xoauth2", "oauthbearer"])
def server(request, dovecot_binary: str, token_server: TokenEndpoint) -> Iterator[Dovecot]:
    made = Dovecot(dovecot_binary, introspection=token_server.introspection, bearer=request.param)
    yield made
    made.close()


@pytest.fixture
def account(server: Dovecot, token_endpoint: TokenEndpoint, tmp_path: Path) -> Account:
    made = Account(
        name="work", host="127.0.0.1", port=server.port, tls="off", user=USER,
        oauth_client_file=str(token_endpoint.client_file(tmp_path)), token_file=str(tmp_path / "t"),
    )  # fmt: skip
    file = token_file_of(made)
    refresh = token_endpoint.new_refresh_token()
    with file.locked():
        file.write(Grant(method="google", user=USER, client_id=CLIENT_ID, refresh_token=refresh))
    return made


def connect(account: Account, tokens: Tokens) -> Connection:
    return Connection(account, 20.0, 1 << 20, tokens)


def test_a_mailbox_is_read_by_token_and_the_next_login_uses_the_same(server, account, token_endpoint) -> None:
    with server.client(USER) as client:
        client.append("INBOX", b"Subject: x\r\n\r\n")
    for _ in range(2):
        source = connect(account, keeper_of(account))
        assert source.examine("INBOX").exists == 1
        source.close()
    assert token_endpoint.count() == 1


def test_a_token_that_the_server_forgot_is_refused_once_and_the_next_login_has_a_new_one(
    account, token_endpoint
) -> None:
    tokens = keeper_of(account)
    connect(account, tokens).close()
    token_endpoint.access.clear()
    with pytest.raises(
        TokenRefused, match=r"login of user@example.com by access token refused.*\(status "
    ) as told:
        connect(account, tokens)
    assert not token_endpoint.leaked(str(told.value))
    connect(account, tokens).close()
    assert token_endpoint.count() == 2


def test_the_token_of_another_user_is_refused(account, token_endpoint) -> None:
    token_endpoint.refresh = dict.fromkeys(token_endpoint.refresh, "somebody.else@example.com")
    with pytest.raises(TokenRefused, match="refused"):
        connect(account, keeper_of(account))


def test_a_grant_that_is_gone_is_told_with_the_account(account, token_endpoint) -> None:
    token_endpoint.forget_grants()
    with pytest.raises(GrantRevoked, match=r"account work \(127.0.0.1:\d+\): .*auth setup work"):
        connect(account, keeper_of(account))


class Fixed:
    """Tokens that are always the same."""

    def __init__(self, token: str) -> None:
        self.given = token
        self.refusals: list[str] = []

    def token(self) -> str:
        return self.given

    def refused(self, token: str) -> None:
        self.refusals.append(token)


@pytest.fixture
def client(simulated) -> Iterator[IMAPClient]:
    simulated.server.server.store.accounts["u"].token_valid = "right".__eq__
    with IMAPClient("127.0.0.1", simulated.server.port, ssl=False) as made:
        yield made


@pytest.mark.parametrize("mechanism", [XOAUTH2, OAUTHBEARER])
def test_the_simulator_takes_a_token_and_insists_on_how_a_refusal_is_answered(client, mechanism) -> None:
    with pytest.raises(LoginError, match="AUTHENTICATIONFAILED"):
        client.sasl_login(mechanism, Bearer(mechanism, "u", "wrong"))
    with pytest.raises(LoginError, match="BAD"):
        client.sasl_login(mechanism, lambda _: Bearer(mechanism, "u", "wrong")(b""))
    client.sasl_login(mechanism, Bearer(mechanism, "u", "right"))
    assert client.select_folder("INBOX")


def test_a_refusal_tells_its_status_and_who_keeps_the_tokens(simulated, client) -> None:
    account = Account(name="s", host="127.0.0.1", port=simulated.server.port, tls="off", user="u")
    tokens = Fixed("wrong")
    with pytest.raises(TokenRefused, match=r"AUTHENTICATIONFAILED.*\(status 400\)") as told:
        connect(account, tokens)
    assert tokens.refusals == ["wrong"]
    assert "wrong" not in str(told.value)
    assert base64.b64encode(b"wrong").decode() not in str(told.value)


def test_without_a_grant_the_mail_server_is_not_asked() -> None:
    class Gone:
        def token(self) -> str:
            raise GrantRevoked("gone")

        def refused(self, token: str) -> None:
            raise AssertionError(token)

    # Nothing listens there: whoever connected first would hear of that.
    nobody = Account(name="work", host="127.0.0.1", port=1, tls="off", user=USER, oauth_client_file="c")
    with pytest.raises(GrantRevoked):
        connect(nobody, Gone())
