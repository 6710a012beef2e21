"""Access tokens from a token endpoint over TLS: renewal, faults, several processes, no secret in a message."""

import json
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.token_endpoint import APPLICATION_ID, CLIENT_ID, TokenEndpoint

from fastmail_ingest.app.credentials import keeper_of, token_file_of, tokens_of
from fastmail_ingest.config import Account
from fastmail_ingest.credential import transport
from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.errors import FastmailIngestError, GrantRevoked, LoginRefused, TokenUnavailable

USER = "user@example.com"


def account_of(**fields: object) -> Account:
    return Account(name="work", host="127.0.0.1", user=USER, **fields)  # type: ignore[arg-type]


@pytest.fixture
def google(token_endpoint: TokenEndpoint, tmp_path: Path) -> Account:
    """An account whose grant is there, without an access token."""
    client = token_endpoint.client_file(tmp_path)
    account = account_of(oauth_client_file=str(client), token_file=str(tmp_path / "work.token.json"))
    keep(
        account,
        Grant(
            method="google", user=USER, client_id=CLIENT_ID, refresh_token=token_endpoint.new_refresh_token()
        ),
    )
    return account


def keep(account: Account, grant: Grant) -> None:
    file = token_file_of(account)
    with file.locked():
        file.write(grant)


def failure(account: Account) -> FastmailIngestError:
    with pytest.raises(FastmailIngestError) as told:
        keeper_of(account).token()
    return told.value


def test_a_password_needs_no_tokens() -> None:
    assert tokens_of(account_of(password="p")) is None


def test_a_token_is_got_once_and_kept(google, token_endpoint) -> None:
    token = keeper_of(google).token()
    assert token in token_endpoint.access
    assert keeper_of(google).token() == token
    assert token_endpoint.count() == 1
    assert token_file_of(google).path.stat().st_mode & 0o777 == 0o600


def test_a_token_is_replaced_five_minutes_before_its_end(google, token_endpoint) -> None:
    first = keeper_of(google).token()
    held = token_file_of(google).read()
    keep(google, replace(held, obtained_at=time.time() - 3300, expires_at=time.time() + 360))
    assert keeper_of(google).token() == first
    keep(google, replace(held, obtained_at=time.time() - 3300, expires_at=time.time() + 240))
    assert keeper_of(google).token() != first
    assert token_endpoint.count() == 2


def test_a_refused_token_is_replaced(google, token_endpoint) -> None:
    tokens = tokens_of(google)
    first = tokens.token()
    tokens.refused(first)
    assert tokens.token() != first
    assert token_endpoint.count() == 2


PROGRAM = """
import sys, msgspec
from fastmail_ingest.app.credentials import keeper_of
from fastmail_ingest.config import Account
account = msgspec.json.decode(sys.argv[1], type=Account)
print("ready", flush=True)
sys.stdin.read()
for _ in range(3):
    print(keeper_of(account).token())
"""


def test_several_processes_renew_once(google, token_endpoint) -> None:
    said = json.dumps(
        {
            "name": "work",
            "host": "h",
            "user": USER,
            "oauth_client_file": google.oauth_client_file,
            "token_file": google.token_file,
        }
    )
    command = [sys.executable, "-c", PROGRAM, said]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.close()
        process.stdin = None
    got = {line for process in processes for line in process.communicate()[0].split()}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(got) == 1
    assert got <= set(token_endpoint.access)
    assert token_endpoint.count() == 1


def test_a_grant_that_was_taken_back_is_final_for_all_without_asking_again(google, token_endpoint) -> None:
    token_endpoint.forget_grants()
    error = failure(google)
    assert isinstance(error, GrantRevoked)
    assert "invalid_grant: Token has been expired or revoked" in str(error)
    assert "remedy: fastmail-ingest auth setup work" in str(error)
    assert "7 days" in str(error)
    assert isinstance(failure(google), GrantRevoked)
    assert token_endpoint.count() == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("500", "gives no token now (backend"), ("garbage", "an answer that is none"), ("echo", "an answer that is none"),
        ("slow", "does not answer: no answer in time"), ("drip", "does not answer: no answer in time"),
        ("huge", "does not answer: it sends more than"), ("redirect", "does not answer: it redirects"),
        ("temporarily_unavailable", "gives no token now (temporarily_unavailable"),
    ],
)  # fmt: skip
def test_a_faulty_endpoint_is_an_outage_and_tells_no_secret(
    google, token_endpoint, monkeypatch, fault, words
) -> None:
    monkeypatch.setattr(transport, "DEADLINE_S", 0.5 if fault in {"slow", "drip"} else 20.0)
    token_endpoint.fault = fault
    error = failure(google)
    assert isinstance(error, TokenUnavailable)
    assert words in str(error)
    assert not token_endpoint.leaked("".join(traceback.format_exception(error)))
    monkeypatch.setattr(transport, "DEADLINE_S", 20.0)
    token_endpoint.fault = ""
    token_endpoint.ended.set()  # lets go of who waits
    assert keeper_of(google).token() in token_endpoint.access


def test_no_token_endpoint_at_all_is_an_outage(google, tmp_path, token_endpoint) -> None:
    token_endpoint.client_file(tmp_path, token_uri="https://127.0.0.1:1/token")
    error = failure(google)
    assert isinstance(error, TokenUnavailable)
    assert "Connection refused" in str(error)


def test_an_endpoint_that_is_not_trusted_gets_no_token(google, token_endpoint, monkeypatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    error = failure(google)
    assert isinstance(error, TokenUnavailable)
    assert "certificate verify failed" in str(error)
    assert token_endpoint.count() == 0


@pytest.mark.parametrize("code", ["invalid_client", "access_denied", "admin_policy_enforced"])
def test_what_a_human_must_mend_says_how_and_quotes_no_secret(google, token_endpoint, code) -> None:
    token_endpoint.fault = code
    error = failure(google)
    assert type(error) is LoginRefused
    assert f"{code}: as" in str(error)
    assert "***" in str(error)
    assert "remedy: " in str(error)
    assert not token_endpoint.leaked("".join(traceback.format_exception(error)))


def test_without_a_setup_the_remedy_is_the_setup(google) -> None:
    token_file_of(google).path.unlink()
    assert "has not been asked yet. remedy: fastmail-ingest auth setup work" in str(failure(google))


def test_another_client_needs_another_setup(google, tmp_path, token_endpoint) -> None:
    token_endpoint.client_file(tmp_path, client_id="another")
    assert "belong to another OAuth client" in str(failure(google))


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("web", {}, "type Desktop app, got a Web application"),
        ("installed", {"token_uri": "http://127.0.0.1/token"}, "token_uri"),
        ("installed", {"client_id": ""}, "client_id"),
    ],
)
def test_a_client_file_that_will_not_do_says_why(
    google, token_endpoint, tmp_path, kind, changes, words
) -> None:
    token_endpoint.client_file(tmp_path, kind, **changes)
    error = failure(google)
    assert words in str(error)
    assert not token_endpoint.leaked(str(error))


def test_a_client_file_that_all_may_read_is_refused(google) -> None:
    Path(google.oauth_client_file).chmod(0o644)
    assert "remedy: chmod 600" in str(failure(google))


def test_a_service_account_acts_for_the_user_and_asks_once(token_endpoint, tmp_path) -> None:
    token_endpoint.service_users.add(USER)
    account = account_of(service_account_file=str(token_endpoint.service_account_file(tmp_path)))
    tokens = tokens_of(account)
    token = tokens.token()
    assert token_endpoint.access[token][0] == USER
    assert tokens.token() == token
    tokens.refused(token)
    assert tokens.token() != token
    assert token_endpoint.count() == 2


def test_a_service_account_may_keep_its_token_in_a_file(token_endpoint, tmp_path) -> None:
    token_endpoint.service_users.add(USER)
    account = account_of(
        service_account_file=str(token_endpoint.service_account_file(tmp_path)),
        token_file=str(tmp_path / "t"),
    )
    assert keeper_of(account).token() == keeper_of(account).token()
    assert token_endpoint.count() == 1


def test_a_service_account_without_delegation_says_where_to_allow_it(token_endpoint, tmp_path) -> None:
    account = account_of(service_account_file=str(token_endpoint.service_account_file(tmp_path)))
    error = failure(account)
    assert type(error) is LoginRefused
    assert "Domain-wide delegation" in str(error)
    token_endpoint.service_users.add(USER)
    assert keeper_of(account).token() in token_endpoint.access


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"private_key": "planted"}, "private_key cannot be read"), ({"type": "authorized_user"}, "expected the key of a service account"),
        ({"client_email": 5}, "not the JSON file"), ({"token_uri": "ftp://x"}, "not the JSON file"),
    ],
)  # fmt: skip
def test_a_service_key_that_will_not_do_says_why(token_endpoint, tmp_path, change, words) -> None:
    path = token_endpoint.service_account_file(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    error = failure(account_of(service_account_file=str(path)))
    assert words in str(error)
    assert "planted" not in str(error)


@pytest.fixture
def microsoft(token_endpoint: TokenEndpoint, tmp_path: Path) -> Account:
    """An account whose user has signed in, without an access token."""
    from fastmail_ingest.credential.microsoft import MicrosoftEntry  # noqa: PLC0415 - msal is slow to load

    account = account_of(
        oauth_client_id=APPLICATION_ID,
        oauth_authority=token_endpoint.authority,
        token_file=str(tmp_path / "work.token.json"),
    )
    entry = MicrosoftEntry(account)
    keep(account, entry.grant_by(entry.device_flow()))
    assert entry.signed_in == USER
    return account


def test_microsoft_renews_by_the_newest_refresh_token(microsoft, token_endpoint) -> None:
    tokens = tokens_of(microsoft)
    for _ in range(3):
        token = tokens.token()
        assert token_endpoint.access[token][0] == USER
        tokens.refused(token)
        *_, newest = token_endpoint.refresh
        for older in set(token_endpoint.refresh) - {newest}:
            del token_endpoint.refresh[older]
    assert token_endpoint.count() == 3
    assert token_endpoint.count("/devicecode") == 1


def test_microsoft_grant_that_was_taken_back_is_final(microsoft, token_endpoint) -> None:
    tokens_of(microsoft).refused(tokens_of(microsoft).token())
    token_endpoint.forget_grants()
    asked = token_endpoint.count()
    for _ in range(2):
        error = failure(microsoft)
        assert isinstance(error, GrantRevoked)
        assert "90 days" in str(error)
    assert token_endpoint.count() == asked + 1


@pytest.mark.parametrize("fault", ["500", "garbage", "slow", "redirect", "echo"])
def test_microsoft_faulty_endpoint_is_an_outage_and_tells_no_secret(
    microsoft, token_endpoint, monkeypatch, caplog, fault
) -> None:
    tokens_of(microsoft).refused(tokens_of(microsoft).token())
    monkeypatch.setattr(transport, "DEADLINE_S", 0.5 if fault == "slow" else 20.0)
    token_endpoint.fault = fault
    error = failure(microsoft)
    assert isinstance(error, TokenUnavailable)
    assert not token_endpoint.leaked("".join(traceback.format_exception(error)) + caplog.text)


def test_without_msal_the_extra_is_named(microsoft, monkeypatch) -> None:
    tokens_of(microsoft).refused(tokens_of(microsoft).token())
    monkeypatch.setitem(sys.modules, "msal", None)
    assert "pip install 'fastmail-ingest[microsoft]'" in str(failure(microsoft))
