"""`fastmail-ingest auth`: from nothing to a login on the mail server, by each way, as an operator types it."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from support.dovecot import Dovecot
from support.token_endpoint import APPLICATION_ID, TokenEndpoint, private

USER = "user@example.com"
BROWSER = """#!{python}
# A browser whose user allows everything.
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile={certificate!r})
with urllib.request.urlopen(sys.argv[1], context=context) as page:
    open({shown!r}, "wb").write(page.read())
"""


class Operator:
    """Somebody at a terminal, with one account."""

    def __init__(self, directory: Path, server: Dovecot, endpoint: TokenEndpoint) -> None:
        self.directory = directory
        self.server = server
        self.endpoint = endpoint
        self.output = ""
        self.tokens = directory / "work.token.json"
        self.page = directory / "page.html"
        self.configure(f'oauth_client_file = "{endpoint.client_file(directory)}"')

    def configure(self, login: str) -> None:
        account = f'[[accounts]]\nname = "work"\nhost = "127.0.0.1"\nport = {self.server.port}\ntls = "off"\n'
        private(self.directory / "supervisor.toml", f'{account}user = "{USER}"\n{login}\n')

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        script = self.directory / "browser"
        script.write_text(
            BROWSER.format(
                python=sys.executable, certificate=str(self.endpoint.certificate), shown=str(self.page)
            )
        )
        script.chmod(0o755)
        # No display: only what BROWSER names is a browser.
        known = {key: value for key, value in os.environ.items() if "DISPLAY" not in key}
        return subprocess.Popen(
            [sys.executable, "-m", "fastmail_ingest", "auth", *command],
            cwd=self.directory, env=known | {"BROWSER": f"{script} %s"} | environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *command: str, given: str = "", **environment: str) -> int:
        process = self.start(*command, **environment)
        return self.end(process, given)

    def end(self, process: subprocess.Popen[str], given: str = "") -> int:
        self.output, _ = process.communicate(given, timeout=60)
        return self.judged(process.returncode)

    def judged(self, code: int) -> int:
        assert not self.endpoint.leaked(self.output), self.output
        assert "Traceback" not in self.output, self.output
        return code

    def held(self) -> dict[str, object]:
        return json.loads(self.tokens.read_text())


@pytest.fixture(scope="module")
def server(dovecot_binary: str, token_server: TokenEndpoint) -> Iterator[Dovecot]:
    made = Dovecot(dovecot_binary, introspection=token_server.introspection)
    yield made
    made.close()


@pytest.fixture
def operator(server: Dovecot, token_endpoint: TokenEndpoint, tmp_path: Path) -> Operator:
    return Operator(tmp_path, server, token_endpoint)


def visited(endpoint: TokenEndpoint, address: str) -> str:
    """Where a browser ends that opens the address somewhere else."""
    return endpoint.authorize({key: values[0] for key, values in parse_qs(urlsplit(address).query).items()})


def addressed(process: subprocess.Popen[str]) -> str:
    """The address that a setup shows."""
    for line in process.stdout:
        if line.startswith("https://"):
            return line.strip()
    raise AssertionError("no address is shown")


def test_set_up_in_a_browser_then_looked_at_renewed_and_revoked(operator, token_endpoint) -> None:
    assert operator.run("info", "work") == 3
    assert "not set up" in operator.output
    assert operator.run("setup", "work") == 0, operator.output
    assert "the mail server takes it" in operator.output
    assert "allowed" in operator.page.read_text()
    assert operator.tokens.stat().st_mode & 0o777 == 0o600

    assert operator.run("info", "work", "--json") == 0
    info = json.loads(operator.output)
    assert (info["state"], info["user"], info["scopes"]) == ("good", USER, ["https://mail.google.com/"])
    assert info["expires_at"] - info["obtained_at"] == pytest.approx(3600)
    assert operator.run("info", "work") == 0
    assert "good until" in operator.output

    before = operator.held()
    assert operator.run("refresh", "work", "--json") == 0
    told = json.loads(operator.output)
    assert (told["account"], told["expires_at"] > time.time()) == ("work", True)
    after = operator.held()
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] == before["refresh_token"]

    assert operator.run("revoke", "work", given="n\n") == 1
    assert operator.tokens.exists()
    assert operator.run("revoke", "work", "--yes") == 0
    assert not operator.tokens.exists()
    assert token_endpoint.refresh == {}
    assert operator.run("revoke", "work", "--yes") == 2


def test_the_request_names_the_user_and_wants_a_lasting_grant(operator) -> None:
    process = operator.start("setup", "work", "--no-browser")
    query = {key: values[0] for key, values in parse_qs(urlsplit(addressed(process)).query).items()}
    operator.end(process)
    assert query["login_hint"] == USER
    assert (query["access_type"], query["prompt"], query["response_type"]) == ("offline", "consent", "code")
    assert (query["scope"], query["code_challenge_method"]) == ("https://mail.google.com/", "S256")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", query["redirect_uri"])
    assert len(query["state"]) >= 20


@pytest.mark.parametrize("kind", ["address", "query", "code", "second try"])
def test_set_up_on_a_server_by_paste(operator, token_endpoint, kind) -> None:
    process = operator.start("setup", "work", "--no-browser")
    ended = visited(token_endpoint, addressed(process))
    query = urlsplit(ended).query
    pasted = {
        "address": f"{ended}\n", "query": query, "code": f"\n{parse_qs(query)['code'][0]}\n",
        "second try": f"what?\nhttp://127.0.0.1/?code=4/forged&state=forged\n{ended}\n",
    }  # fmt: skip
    assert operator.end(process, pasted[kind]) == 0, operator.output
    assert "the mail server takes it" in operator.output
    assert operator.output.count("That is not it") == (2 if kind == "second try" else 0)
    assert not operator.page.exists()


def test_a_consent_that_is_not_given_leaves_the_old_grant(operator, token_endpoint) -> None:
    assert operator.run("setup", "work") == 0
    before = operator.held()
    token_endpoint.consent_error = "access_denied"
    assert operator.run("setup", "work") == 3
    assert "the consent was not given (access_denied). remedy: " in operator.output
    assert operator.held() == before


def test_another_user_in_the_browser_is_found_out_at_once(operator, token_endpoint) -> None:
    token_endpoint.user = "private@example.com"
    assert operator.run("setup", "work") == 3
    assert "was another user than user@example.com chosen in the browser?" in operator.output
    assert operator.run("setup", "work", "--no-check") == 0


def test_access_to_the_mail_that_was_left_unchecked_is_told(operator, token_endpoint) -> None:
    token_endpoint.scope = "openid"
    assert operator.run("setup", "work") == 3
    assert "check the box for Gmail" in operator.output
    assert not operator.tokens.exists()


def test_a_code_of_another_request_is_refused_by_pkce(operator, token_endpoint) -> None:
    first = operator.start("setup", "work", "--no-browser")
    code = parse_qs(urlsplit(visited(token_endpoint, addressed(first))).query)["code"][0]
    operator.end(first)
    assert operator.run("setup", "work", "--no-browser", given=code) == 3
    assert "the code was not taken (invalid_grant" in operator.output
    assert "remedy: it works once" in operator.output


def test_nothing_pasted_ends_the_setup(operator) -> None:
    assert operator.run("setup", "work", "--no-browser") == 3
    assert "no address with a code was pasted. remedy: start again" in operator.output


def test_words_that_are_no_code_are_refused_and_asked_for_again(operator, token_endpoint) -> None:
    assert operator.run("setup", "work", "--no-browser", given="password\n" * 9) == 3
    assert operator.output.count("That is not it") == 5
    assert "or the code alone (4/...)" in operator.output
    assert token_endpoint.count() == 0


def test_without_a_browser_the_address_is_there_and_the_other_way_is_named(operator) -> None:
    process = operator.start("setup", "work", BROWSER="/bin/false %s")
    address = addressed(process)
    with urllib.request.urlopen(visited(operator.endpoint, address)) as page:
        assert page.status == 200
    assert operator.end(process) == 0
    assert "--no-browser" in operator.output
    assert "Waiting for the browser, 10.0 min at the most" in operator.output


@pytest.mark.parametrize("fault", ["500", "garbage", "huge", "invalid_client"])
def test_a_faulty_endpoint_ends_the_setup_with_its_reason(operator, token_endpoint, fault) -> None:
    process = operator.start("setup", "work", "--no-browser")
    ended = visited(token_endpoint, addressed(process))
    token_endpoint.fault = fault
    assert operator.end(process, ended) == 3
    assert "fastmail-ingest: the " in operator.output
    assert not operator.tokens.exists()


def test_a_grant_that_is_gone_is_shown_and_set_up_again(operator, token_endpoint) -> None:
    assert operator.run("setup", "work") == 0
    token_endpoint.forget_grants()
    assert operator.run("refresh", "work") == 3
    assert "invalid_grant" in operator.output
    assert "auth setup work" in operator.output
    assert operator.run("info", "work", "--json") == 3
    assert json.loads(operator.output)["state"] == "revoked"
    assert operator.run("setup", "work") == 0
    assert operator.run("info", "work", "--json") == 0


def test_a_revocation_that_fails_keeps_the_file(operator, token_endpoint) -> None:
    assert operator.run("setup", "work") == 0
    token_endpoint.fault = "500"
    assert operator.run("revoke", "work", "--yes") == 3
    assert "The tokens are kept. remedy: try again" in operator.output
    assert operator.tokens.exists()


def test_a_looser_token_file_is_refused_by_every_verb(operator) -> None:
    assert operator.run("setup", "work") == 0
    operator.tokens.chmod(0o644)
    for command in (("info", "work"), ("refresh", "work"), ("revoke", "work", "--yes")):
        assert operator.run(*command) == 2
        assert "remedy: chmod 600" in operator.output


def test_microsoft_by_device_code(operator, token_endpoint) -> None:
    operator.configure(
        f'oauth_client_id = "{APPLICATION_ID}"\noauth_authority = "{token_endpoint.authority}"'
    )
    token_endpoint.device_answers = ["authorization_pending"]
    assert operator.run("setup", "work") == 0, operator.output
    assert "enter the code ABCD-EFGH" in operator.output
    assert "the mail server takes it" in operator.output
    assert operator.run("refresh", "work") == 0
    assert operator.run("info", "work", "--json") == 0
    assert json.loads(operator.output)["scopes"] == ["https://outlook.office.com/IMAP.AccessAsUser.All"]
    assert operator.run("revoke", "work", "--yes") == 0
    assert "myapps.microsoft.com" in operator.output


@pytest.mark.parametrize(
    ("error", "words"),
    [("expired_token", "nobody has signed in in time"), ("access_denied", "the sign-in was refused")],
)
def test_a_microsoft_sign_in_that_fails_says_why(operator, token_endpoint, error, words) -> None:
    operator.configure(
        f'oauth_client_id = "{APPLICATION_ID}"\noauth_authority = "{token_endpoint.authority}"'
    )
    token_endpoint.device_answers = [error]
    assert operator.run("setup", "work") == 3
    assert words in operator.output


def test_a_service_account_needs_no_setup_and_is_tried_by_refresh(operator, token_endpoint) -> None:
    operator.configure(f'service_account_file = "{token_endpoint.service_account_file(operator.directory)}"')
    assert operator.run("setup", "work") == 2
    assert "auth refresh work tries it" in operator.output
    assert operator.run("refresh", "work") == 3
    assert "Domain-wide delegation" in operator.output
    token_endpoint.service_users.add(USER)
    assert operator.run("refresh", "work") == 0
    assert operator.run("info", "work") == 0


def test_a_password_needs_none_of_it(operator) -> None:
    operator.configure('password = "p"')
    for verb in ("setup", "refresh", "revoke"):
        assert operator.run(verb, "work") == 2
        assert "remedy: " in operator.output
    assert operator.run("info", "work") == 0
    assert operator.run("info", "wrok") == 2
    assert "remedy: one of work" in operator.output


def test_a_dry_run_reads_the_mailbox_by_token(operator) -> None:
    assert operator.run("setup", "work") == 0
    with operator.server.client(USER) as client:
        client.append("INBOX", b"From: a@example.org\r\nSubject: by token\r\n\r\n")
    command = [sys.executable, "-m", "fastmail_ingest", "supervise", "--dry-run"]
    done = subprocess.run(
        command, cwd=operator.directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "by token" in done.stdout
