"""What a right configuration becomes."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from fastmail_ingest.config import Account, Config, load, mask_url

WriteConfig = Callable[[str], Path]


def test_a_provider_says_what_is_known_of_it(write: WriteConfig) -> None:
    text = '[[accounts]]\nname = "g"\nprovider = "gmail"\nuser = "u"\noauth_client_file = "client.json"\n'
    path = write(text)
    (account,) = load(path, {}).accounts
    assert (account.host, account.effective_port, account.login_method) == ("imap.gmail.com", 993, "google")
    assert account.effective_daily_bytes == 2_000_000_000
    assert account.token_file == str(path.parent / "g.token.json")


@pytest.mark.parametrize(
    ("host", "login", "method"),
    [
        ("h", 'oauth_client_file = "c.json"', "google"),
        ("h", 'oauth_client_id = "1"', "microsoft"),
        ("imap.gmail.com", 'service_account_file = "c.json"', "service_account"),
    ],
)
def test_tokens_go_to_a_host_of_ones_own(write: WriteConfig, host: str, login: str, method: str) -> None:
    path = write(f'[[accounts]]\nname = "g"\nhost = "{host}"\nuser = "u"\n{login}\n')
    assert load(path, {}).accounts[0].login_method == method


def test_one_account_is_all_that_is_needed(write: WriteConfig, account: str, secret: str) -> None:
    config = load(write(account), {})
    assert config.accounts[0].password == secret
    assert config.accounts[0].mailboxes == ["INBOX"]
    plain = Config()
    with_paths = {
        name: getattr(plain, name) for name in ("redis", "blobs", "backup", "jsonl", "maildir", "sqlite")
    }
    assert msgspec.structs.replace(config, accounts=[], **with_paths) == plain


def test_the_documented_defaults() -> None:
    config = Config()
    assert (config.redis.url, config.redis.prefix) == ("", "fmi")
    assert (config.producer.poll_min, config.producer.poll_max) == (1.0, 60.0)
    assert (config.producer.append_bytes, config.producer.max_mail) == (1 << 20, 52428800)
    assert (config.worker.procs, config.worker.batch_max, config.worker.batch_bytes) == ("auto", 512, 8 << 20)
    assert (config.handler.target, config.handler.threads) == ("log", 0)
    assert (config.retry.attempts, config.retry.cap, config.retry.max_deaths) == (5, 3600.0, 3)
    assert config.retry_for == []
    breaker = config.breaker
    assert (breaker.failures, breaker.recovery, breaker.successes) == (10, 10.0, 2)
    assert {"OSError", "OperationalError", "ConnectTimeout", "CircuitOpen"} < set(breaker.errors)
    assert (config.producer.high_water_bytes, config.producer.redis_memory) == (384 << 20, 0.8)
    assert (config.worker.max_mails, config.worker.max_rss) == (0, 0)
    assert config.ledger.keep_days == 90
    assert (config.supervisor.drain_timeout, config.supervisor.lease) == (30.0, 10.0)
    assert config.supervisor.stall_timeout == 60.0
    assert (config.logging.level, config.logging.format) == ("info", "auto")


@pytest.mark.parametrize(
    ("tls", "port", "expected"), [("on", 0, 993), ("starttls", 0, 143), ("off", 0, 143), ("on", 1993, 1993)]
)
def test_effective_port(tls: str, port: int, expected: int) -> None:
    values = {"name": "a", "host": "h", "user": "u", "tls": tls, "port": port}
    assert msgspec.convert(values, Account).effective_port == expected


def test_paths_start_at_the_directory_of_the_file(write: WriteConfig, account: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    config = load(write(account + 'tls_ca_file = "ca.pem"\n[redis]\ndata_dir = "/var/lib/x"'), {})
    assert config.accounts[0].password_file == str(tmp_path / "work.password")
    assert config.accounts[0].tls_ca_file == str(tmp_path / "ca.pem")
    assert config.redis.data_dir == "/var/lib/x"


def test_without_a_file_paths_start_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(None, {}, require_accounts=False)
    assert config.redis.data_dir == str(tmp_path / "fastmail-ingest-data")


def test_home_directory_in_a_path(
    write: WriteConfig, account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load(write(account.replace('"work.password"', '"~/work.password"')), {})
    assert config.accounts[0].password == secret


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("WORKER__PROCS", "8", 8),
        ("WORKER__PROCS", "auto", "auto"),
        ("PRODUCER__IDLE", "false", False),
        ("PRODUCER__IDLE", "YES", True),
        ("PRODUCER__POLL_MAX", "90", 90.0),
        ("RETRY__JITTER", "0.5", 0.5),
        ("LOGGING__LEVEL", "debug", "debug"),
        ("HANDLER__TARGET", "shop.mails:handle", "shop.mails:handle"),
        ("REDIS__URL", "redis://r:6379/1", "redis://r:6379/1"),
        ("WORKER__MAX_RSS", "536870912", 536870912),
        ("SUPERVISOR__STALL_TIMEOUT", "90", 90.0),
        ("BREAKER__ERRORS", "OSError, shop.Down", ["OSError", "shop.Down"]),
        ("BREAKER__ERRORS", "", []),
    ],
)
def test_environment_goes_over_the_file(
    write: WriteConfig, account: str, variable: str, text: str, expected: object
) -> None:
    path = write(account + "[worker]\nprocs = 2\n[producer]\nidle = true")
    config = load(path, {f"FASTMAIL_INGEST__{variable}": text, "FASTMAIL_INGEST_CONFIG": "not ours"})
    section, key = variable.lower().split("__")
    value = getattr(getattr(config, section), key)
    assert (value, type(value)) == (expected, type(expected))


def test_rules_for_kinds_of_errors(write: WriteConfig, account: str) -> None:
    text = """
[retry]
attempts = 7
[[retry_for]]
error = "requests.exceptions.ConnectionError"
attempts = 50
cap = 60
[[retry_for]]
error = "UnicodeDecodeError"
reject = true
"""
    config = load(write(account + text), {})
    patient, never = config.retry_for
    assert (patient.error, patient.attempts, patient.first) == (
        "requests.exceptions.ConnectionError",
        50,
        None,
    )
    assert (never.attempts, never.reject) == (None, True)
    assert patient.over(config.retry) == msgspec.structs.replace(config.retry, attempts=50, cap=60.0)
    assert never.over(config.retry) == config.retry


def test_a_rule_that_rejects_needs_no_sensible_waits(write: WriteConfig, account: str) -> None:
    text = '[[retry_for]]\nerror = "KeyError"\nfirst = 9000\nreject = true'
    assert load(write(account + text), {}).retry_for[0].reject


def test_environment_of_an_account(write: WriteConfig, account: str) -> None:
    start = "FASTMAIL_INGEST__ACCOUNTS__MY_WORK__"
    environ = {start + "PORT": "1143", start + "MAILBOXES": "INBOX, Sent", start + "TLS": "off"}
    found = load(write(account.replace('"work"', '"my-work"')), environ).accounts[0]
    assert (found.name, found.port, found.tls, found.mailboxes) == ("my-work", 1143, "off", ["INBOX", "Sent"])


def test_accounts_from_the_environment_alone(secret: str) -> None:
    start = "FASTMAIL_INGEST__ACCOUNTS__A__B__"  # the account's name holds two underscores
    environ = {start + "HOST": "imap.example.com", start + "USER": "me", start + "PASSWORD": secret}
    found = load(None, environ).accounts[0]
    assert (found.name, found.host, found.user, found.password) == ("a__b", "imap.example.com", "me", secret)


def test_a_new_account_can_choose_a_hyphen_in_its_name(secret: str) -> None:
    start = "FASTMAIL_INGEST__ACCOUNTS__MY_WORK__"
    environ = {
        start + "HOST": "h",
        start + "USER": "me",
        start + "PASSWORD": secret,
        start + "NAME": "my-work",
    }
    assert load(None, environ).accounts[0].name == "my-work"


def test_password_in_the_environment_replaces_the_one_in_the_file(write: WriteConfig, account: str) -> None:
    path = write(account.replace("password_file", "password"))
    config = load(path, {"FASTMAIL_INGEST__ACCOUNTS__WORK__PASSWORD": "other"})
    assert config.accounts[0].password == "other"


def test_password_of_redis_from_a_file(write: WriteConfig, account: str, secret: str) -> None:
    config = load(write(account + '[redis]\nurl = "redis://r"\npassword_file = "work.password"'), {})
    assert config.redis.password == secret


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret", "secret"),
        (b" se cret ", " se cret "),
        ("\ufeffpässwort\u00a0x\n".encode(), "pässwort\u00a0x"),
    ],
)
def test_content_of_a_secret_file(
    write: WriteConfig, account: str, tmp_path: Path, content: bytes, expected: str
) -> None:
    path = write(account)
    (tmp_path / "work.password").write_bytes(content)
    assert load(path, {}).accounts[0].password == expected


def test_group_may_read_a_secret_as_kubernetes_mounts_it(
    write: WriteConfig, account: str, tmp_path: Path
) -> None:
    path = write(account)
    (tmp_path / "work.password").chmod(0o440)
    assert load(path, {}).accounts


def test_byte_order_mark_and_windows_line_ends(write: WriteConfig, account: str) -> None:
    path = write("")
    path.write_bytes(b"\xef\xbb\xbf" + account.replace("\n", "\r\n").encode())
    assert load(path, {}).accounts[0].name == "work"


def test_accounts_are_not_needed_by_every_command(write: WriteConfig) -> None:
    assert load(write(""), {}, require_accounts=False).accounts == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_admin_on_loopback_needs_no_token(write: WriteConfig, account: str, host: str) -> None:
    admin = load(write(f'{account}[admin]\nhost = "{host}"'), {}).admin
    assert admin.is_loopback
    assert (admin.port, admin.token, admin.metrics_port) == (8080, "", 0)


def test_admin_for_all_with_a_token(write: WriteConfig, account: str, tmp_path: Path) -> None:
    file = tmp_path / "admin.token"
    file.touch(mode=0o600)
    file.write_text("planted-secret-0\n")
    path = write(f'{account}[admin]\nhost = "0.0.0.0"\ntoken_file = "{file}"')
    admin = load(path, {}).admin
    assert not admin.is_loopback
    assert admin.token == "planted-secret-0"
    assert "planted" not in repr(admin)
    assert load(path, {"FASTMAIL_INGEST__ADMIN__PORT": "0"}).admin.port == 0


def test_no_repr_shows_a_secret(write: WriteConfig, account: str, secret: str) -> None:
    url = f'[redis]\nurl = "redis://:{secret}@r:6379/0"'
    config = load(write(account + url), {})
    console = Console(file=io.StringIO(), width=1000)
    console.print(config)
    rich_text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO of above
    for shown in (repr(config), str(config.accounts), f"{config.redis}", rich_text):
        assert secret not in shown
        assert "***" in shown
    assert config.redis.url.count(secret) == config.accounts[0].password.count(secret) == 1


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://:s@h:1/0", "redis://***@h:1/0"),
        ("rediss://u:p@a@h", "rediss://***@h"),
        ("unix://u:s@/run/r.sock?db=1", "unix://***@/run/r.sock?db=1"),
        ("redis://h?db=1&password=s&x=1", "redis://h?db=1&password=***&x=1"),
        ("u:s@h", "***@h"),
        ("redis://h:6379/0", "redis://h:6379/0"),
    ],
)
def test_mask_url(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_importing_the_configuration_is_cheap() -> None:
    program = "import sys; import fastmail_ingest.config; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"difflib", "redis", "imapclient", "rich", "click"} & set(loaded.stdout.split())
