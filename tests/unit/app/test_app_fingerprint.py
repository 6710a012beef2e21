"""When an account that was refused may be tried at once: it logs in with something else now."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from fastmail_ingest.app.credentials import keeper_of, token_file_of
from fastmail_ingest.app.fingerprint import fingerprint
from fastmail_ingest.app.operate import auth
from fastmail_ingest.config import Account, Config
from fastmail_ingest.credential.grant import Grant

SET_UP = Grant(method="google", user="u", client_id="c", refresh_token="planted-refresh")


@pytest.fixture
def account(tmp_path: Path) -> Account:
    for name in ("client", "key"):
        (tmp_path / name).touch(0o600)
    return Account(
        name="a",
        host="h",
        user="u",
        oauth_client_file=str(tmp_path / "client"),
        token_file=str(tmp_path / "t"),
    )


def set_up(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "ask_google", lambda *_, **__: SET_UP)
    auth.setup(Config(accounts=[account]), account.name, browser=False, check=False)


def test_another_password_shows_and_the_password_does_not() -> None:
    one = Account(name="a", host="h", user="u", password="planted-secret")
    assert fingerprint(one) == fingerprint(replace(one))
    assert fingerprint(one) != fingerprint(replace(one, password="another"))
    assert "planted" not in fingerprint(one)


def test_a_new_setup_shows_and_no_renewal_does(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(account)
    set_up(account, monkeypatch)
    first = fingerprint(account)
    assert first not in {"", before}
    file = token_file_of(account)
    with file.locked():
        file.write(replace(file.read(), access_token="x", obtained_at=1.0))  # type: ignore[type-var]
    keeper_of(account).refused("x")
    assert fingerprint(account) == first
    set_up(account, monkeypatch)
    assert fingerprint(account) != first


def test_a_client_file_that_was_mended_shows(account: Account) -> None:
    before = fingerprint(account)
    os.utime(account.oauth_client_file, ns=(1, 1))
    assert fingerprint(account) != before


def test_the_key_of_a_service_account_shows(tmp_path: Path, account: Account) -> None:
    service = replace(
        account, oauth_client_file="", token_file="", service_account_file=str(tmp_path / "key")
    )
    before = fingerprint(service)
    assert before
    os.utime(service.service_account_file, ns=(1, 1))
    assert fingerprint(service) != before


def test_a_token_file_that_cannot_be_read_is_no_reason_to_fail(account: Account, monkeypatch) -> None:
    set_up(account, monkeypatch)
    first = fingerprint(account)
    Path(account.token_file).chmod(0o644)
    assert fingerprint(account) not in {"", first}
