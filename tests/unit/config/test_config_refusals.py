"""Every wrong configuration: one short message with place, expectation and remedy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fastmail_ingest.config import load
from fastmail_ingest.errors import ConfigError

WriteConfig = Callable[[str], Path]

SECRET = "hunter2-never-shown"
NEW = '[[accounts]]\nname = "work"\nhost = "h"\nuser = "u"\n'
OK = NEW + 'password_file = "work.password"\n'
OUTLOOK = '[[accounts]]\nname = "work"\nprovider = "outlook"\nuser = "u"\n'
RULE = '[[retry_for]]\nerror = "KeyError"\n'
LINES_MAX = 4
LINES_OF_THE_ACCOUNT_EXAMPLE = 5


def refusal(path: Path | None, environ: dict[str, str] | None = None) -> str:
    """The message that `load` refuses with, after the checks that hold for every one."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\nremedy: " in message
    assert (
        len(message.splitlines()) <= LINES_MAX + ("[[accounts]]\n" in message) * LINES_OF_THE_ACCOUNT_EXAMPLE
    )
    assert SECRET not in message
    assert message.isprintable() or message.replace("\n", "").isprintable()
    return message


WRONG_FILES = {
    # name: (text, where, what else must be said)
    "wrong type": (
        OK + '[worker]\nbatch_max = "many"',
        "[worker] batch_max",
        ["between 1 and 1000", '"many"'],
    ),
    "too large": (OK + "[worker]\nbatch_max = 1001", "[worker] batch_max", ["got 1001", "default (512)"]),
    "boolean for integer": (OK + "[worker]\nbatch_max = true", "[worker] batch_max", ["got true"]),
    "float for integer": (OK + "[worker]\nbatch_max = 1.5", "[worker] batch_max", ["got 1.5"]),
    "integer for boolean": (OK + "[producer]\nidle = 1", "[producer] idle", ["true or false"]),
    "not a number": (OK + "[retry]\njitter = nan", "[retry] jitter", ["between 0 and 1", "got nan"]),
    "infinite": (OK + "[producer]\npoll_max = inf", "[producer] poll_max", ["got inf"]),
    "huge": (OK + f"[worker]\nprocs = 0x{'f' * 5000}", "[worker] procs", ["very large"]),
    "endless": (OK + f"[worker]\nprocs = {'9' * 5000}", "", ["thousands of digits"]),
    "zero timeout": (OK + "[handler]\ntimeout = 0", "[handler] timeout", ["above 0"]),
    "procs": (OK + '[worker]\nprocs = "all"', "[worker] procs", ['"auto" or an integer', '"all"']),
    "date": (OK + "[ledger]\nkeep_days = 2026-01-01", "[ledger] keep_days", ["got a date"]),
    "table for value": (OK + "[ledger]\nkeep_days = {}", "[ledger] keep_days", ["got a table"]),
    "list for value": (OK + "[ledger]\nkeep_days = [9]", "[ledger] keep_days", ["got a list"]),
    "choice": (OK + "tls = true", '[[accounts]] number 1 (name "work") tls', ['"on", "starttls" or "off"']),
    "case": (OK + '[logging]\nlevel = "INFO"', "[logging] level", ['"debug", "info"', '"INFO"']),
    "target": (OK + '[handler]\ntarget = "shop.handle"', "[handler] target", ['"shop.mails:handle"']),
    "prefix": (OK + '[redis]\nprefix = "a:b"', "[redis] prefix", ["1 to 32"]),
    "line break": (OK + '[redis]\nprefix = "fmi\\n"', "[redis] prefix", ["1 to 32", '"fmi\\n"']),
    "admin for all without token": (
        OK + '[admin]\nhost = "0.0.0.0"',
        "[admin] host",
        ['got "0.0.0.0" without', 'token_file = "admin.token"', 'host = "127.0.0.1"'],
    ),
    "admin by name without token": (OK + '[admin]\nhost = "mail.example.com"', "[admin] host", []),
    "admin with a short token": (
        OK + f'[admin]\ntoken = "{SECRET[:15]}"',
        "[admin] token",
        ["16 characters", "umask 077"],
    ),
    "admin token of odd characters": (
        OK + f'[admin]\ntoken = "{SECRET} {SECRET}"',
        "[admin] token",
        ["not shown"],
    ),
    "admin with two tokens": (
        OK + f'[admin]\ntoken_file = "t"\ntoken = "{SECRET}"',
        "[admin] token_file",
        ["FASTMAIL_INGEST__ADMIN__TOKEN"],
    ),
    "admin without token file": (OK + '[admin]\ntoken_file = "t"', "[admin] token_file", ["No such file"]),
    "admin twice on a port": (
        OK + "[admin]\nmetrics_port = 8080",
        "[admin] metrics_port",
        ["remove the line"],
    ),
    "metrics alone": (OK + "[admin]\nport = 0\nmetrics_port = 9090", "[admin] metrics_port", ["port = 8080"]),
    "freshness nobody can prove": (
        OK + "[admin]\nfreshness = 30\n[producer]\npoll_max = 60",
        "[admin] freshness",
        ["poll_max (60)", "got 30"],
    ),
    "admin host with port": (OK + '[admin]\nhost = "127.0.0.1:80"', "[admin] host", ["without scheme"]),
    "admin allowed host with port": (
        OK + '[admin]\nallowed_hosts = ["a:80"]',
        "[admin] allowed_hosts",
        ["without port"],
    ),
    "unknown key": (
        OK + "[worker]\nbatchmax = 3",
        "[worker] batchmax",
        ["did you mean batch_max", "target_ms"],
    ),
    "key of elsewhere": (OK + "[worker]\nkeep_days = 3", "[worker] keep_days", ["move it below [ledger]"]),
    "odd key": (OK + '[worker]\n"a\\nb" = 3', '[worker] "a\\nb"', ["unknown key"]),
    "unknown section": (OK + "[wroker]\nprocs = 3", "[wroker]", ["did you mean [worker]", "[supervisor]"]),
    "far off section": (OK + "[xyz]", "[xyz]", ["known sections: [redis], [[accounts]]"]),
    "key at top": ("procs = 3\n" + OK, "procs", ["outside of any section", "move it below [worker]"]),
    "single brackets": (OK.replace("[[accounts]]", "[accounts]"), "[[accounts]]", ["got [accounts]"]),
    "named table": (
        OK.replace("[[accounts]]", "[accounts.work]"),
        "[[accounts]]",
        ["[accounts.work]", 'name = "work"'],
    ),
    "accounts as text": ('accounts = "work"', "[[accounts]]", ["expected tables"]),
    "accounts as list of text": ('accounts = ["work"]', "[[accounts]] number 1", ["expected a table"]),
    "double brackets": (OK + "[[worker]]", "[worker]", ["got [[worker]]", "single brackets"]),
    "section as value": ("worker = 5", "[worker]", ["got worker = ..."]),
    "no account": (
        "",
        "[[accounts]]",
        ["at least one", '  name = "work"', "supervisor.toml:\n  [[accounts]]"],
    ),
    "missing user": ('[[accounts]]\nname = "work"', '[[accounts]] number 1 (name "work") user', ["missing"]),
    "missing host": (
        '[[accounts]]\nname = "work"\nuser = "u"\npassword = "p"',
        '[[accounts]] number 1 (name "work") host',
        ["provider"],
    ),
    "two ways to log in": (
        NEW + 'password = "p"\noauth_client_file = "c.json"',
        '[[accounts]] number 1 (name "work") oauth_client_file',
        ["password and oauth_client_file"],
    ),
    "gmail without login": (
        '[[accounts]]\nname = "work"\nprovider = "gmail"\nuser = "u"',
        '[[accounts]] number 1 (name "work") password',
        ["oauth_client_file", "OAUTH2_SETUP"],
    ),
    "Google's client at outlook": (
        OUTLOOK + 'oauth_client_file = "c.json"',
        '[[accounts]] number 1 (name "work") oauth_client_file',
        ["outlook takes, got one of gmail", "write oauth_client_id = ...", 'provider = "gmail"'],
    ),
    "service account at outlook": (OUTLOOK + 'service_account_file = "c.json"', "service_account_file", []),
    "Microsoft's client at gmail": (
        OUTLOOK.replace("outlook", "gmail") + 'oauth_client_id = "1"',
        "oauth_client_id",
        ["gmail takes, got one of outlook", "write oauth_client_file = ..."],
    ),
    "Google's client at fastmail": (
        OUTLOOK.replace("outlook", "fastmail") + 'oauth_client_file = "c.json"',
        "oauth_client_file",
        ['write password_file = "work.password"'],
    ),
    "Google's client at a known host": (
        NEW.replace('"h"', '"Outlook.Office365.com"') + 'oauth_client_file = "c.json"',
        "oauth_client_file",
        ["outlook takes"],
    ),
    "misspelt provider": (
        OUTLOOK.replace("outlook", "gmial"),
        "provider",
        ['got "gmial"; did you mean "gmail"?', 'write provider = "gmail"'],
    ),
    "missing name": (OK + OK.replace('name = "work"', ""), "[[accounts]] number 2 name", ["missing"]),
    "account name": (OK.replace('"work"', '"My Work"'), "[[accounts]] number 1", ["lower case", '"My Work"']),
    "same name": (OK + OK, '[[accounts]] number 2 (name "work") name', ["that of number 1"]),
    "host with port": (OK.replace('"h"', '"h:993"'), '[[accounts]] number 1 (name "work") host', ["alone"]),
    "host with secret": (OK.replace('"h"', f'"imaps://u:{SECRET}@h"'), "host", ["imaps://***@h"]),
    "empty user": (OK.replace('"u"', '""'), '[[accounts]] number 1 (name "work") user', ["non-empty"]),
    "no mailbox": (OK + "mailboxes = []", "mailboxes", ["at least one", "an empty list"]),
    "empty mailbox": (OK + 'mailboxes = ["INBOX", ""]', "mailboxes", ['a list with ""']),
    "mailbox number": (OK + 'mailboxes = ["INBOX", 5]', "mailboxes", ["a list with 5"]),
    "mailbox twice": (OK + 'mailboxes = ["INBOX", "inbox"]', "mailboxes", ["each mailbox once", '"inbox"']),
    "mailbox as text": (OK + 'mailboxes = "INBOX"', "mailboxes", ["list", '"INBOX"', '["INBOX"]']),
    "connections": (OK + "max_connections = 16", "max_connections", ["between 1 and 15"]),
    "no secret": (NEW, "password", ["expected a password", "FASTMAIL_INGEST__ACCOUNTS__WORK__PASSWORD"]),
    "two secrets": (OK + f'password = "{SECRET}"', "password_file", ["got two"]),
    "password type": (NEW + "password = 12345", "password", ["expected a string", "not shown"]),
    "password lines": (NEW + f'password = "{SECRET}\\n"', "password", ["control characters"]),
    "CA file": (OK + 'tls_ca_file = "none.pem"', "tls_ca_file", ["none.pem", "No such file"]),
    "CA directory": (OK + 'tls_ca_file = "."', "tls_ca_file", ["Is a directory"]),
    "no secret file": (NEW + 'password_file = "x"', "password_file", ["No such file"]),
    "secret directory": (NEW + 'password_file = "."', "password_file", ["got a directory"]),
    "secret NUL": (NEW + 'password_file = "a\\u0000"', "password_file", ["not a path"]),
    "secret device": (NEW + 'password_file = "/dev/null"', "password_file", ["something else"]),
    "poll order": (OK + "[producer]\npoll_max = 0.5", "[producer] poll_max", ["poll_max >= poll_min"]),
    "poll order 2": (OK + "[producer]\npoll_min = 99", "[producer] poll_min", ["raise poll_max to 99"]),
    "memory share": (OK + "[producer]\nredis_memory = 80", "redis_memory", ["between 0.1 and 1", "got 80"]),
    "no high water": (OK + "[producer]\nhigh_water_bytes = 0", "high_water_bytes", ["402653184"]),
    "max mails": (OK + "[worker]\nmax_mails = -1", "[worker] max_mails", ["between 0 and", "got -1"]),
    "memory text": (OK + '[worker]\nmax_rss = "512M"', "[worker] max_rss", ["an integer", '"512M"']),
    "stall": (OK + "[supervisor]\nstall_timeout = 0", "[supervisor] stall_timeout", ["between 1 and 86400"]),
    "breaker failures": (OK + "[breaker]\nfailures = 0", "[breaker] failures", ["between 1 and 10000"]),
    "breaker recovery": (OK + "[breaker]\nrecovery = 0.01", "[breaker] recovery", ["between 0.05 and"]),
    "breaker errors": (
        OK + '[breaker]\nerrors = ["OSError", "time out"]',
        "[breaker] errors",
        ["a list of class names", 'a list with "time out"', '["ConnectionError", "TimeoutError"]'],
    ),
    "rule without error": (OK + "[[retry_for]]\nattempts = 2", "[[retry_for]] number 1 error", ["missing"]),
    "rule class": (
        OK + '[[retry_for]]\nerror = "not a class"',
        '[[retry_for]] number 1 (error "not a class") error',
        ['"package.module.Error"', "requests.exceptions.ConnectionError"],
    ),
    "rule value": (
        OK + RULE + "attempts = 0",
        '[[retry_for]] number 1 (error "KeyError") attempts',
        ["expected an integer between 1 and 100", "write attempts = 20, or remove the line"],
    ),
    "rule key": (
        OK + RULE + "max_deaths = 1",
        "max_deaths",
        ["move it below [retry]", "known keys of [[retry_for"],
    ),
    "rule near key": (OK + RULE + "attempt = 1", "attempt", ["did you mean attempts"]),
    "same rule": (
        OK + RULE + RULE,
        '[[retry_for]] number 2 (error "KeyError") error',
        ["that of number 1", "keep one"],
    ),
    "rule cap": (OK + RULE + "first = 9000", '(error "KeyError") first', ["cap >= first", "3600"]),
    "rule first": (OK + RULE + "cap = 0.5", '(error "KeyError") cap', ["raise cap to 1 or more"]),
    "rule for a breaker": (
        OK + '[[retry_for]]\nerror = "fastmail_ingest.errors.CircuitOpen"',
        "[[retry_for]] number 1",
        ["remove the block", "waits for its breaker"],
    ),
    "rule in single brackets": (
        OK + RULE.replace("[[retry_for]]", "[retry_for]"),
        "[[retry_for]]",
        ["got [retry_for]", "double brackets"],
    ),
    "rule as table": (
        OK + "[retry_for.KeyError]\nattempts = 2",
        "[[retry_for]]",
        ["got [retry_for.KeyError]", 'write [[retry_for]], and below it error = "KeyError"'],
    ),
    "rules as list of text": (
        'retry_for = ["KeyError"]\n' + OK,
        "[[retry_for]] number 1",
        ["and error below it"],
    ),
    "cap": (OK + "[retry]\nfirst = 9000", "[retry] first", ["cap >= first"]),
    "URL scheme": (OK + f'[redis]\nurl = "http://:{SECRET}@r"', "[redis] url", ["rediss://", "http://***@r"]),
    "URL port": (OK + f'[redis]\nurl = "redis://:{SECRET}@r:x"', "[redis] url", ["port"]),
    "URL and secret": (
        OK + f'[redis]\nurl = "redis://:{SECRET}@r"\npassword = "x"',
        "[redis] password",
        ["got two"],
    ),
    "URL and secret file": (
        OK + f'[redis]\nurl = "redis://:{SECRET}@r"\npassword_file = "work.password"',
        "[redis] password_file",
        ["got two"],
    ),
    "secret without URL": (OK + f'[redis]\npassword = "{SECRET}"', "[redis] url", ["an address"]),
    "syntax": (OK + "[worker]\nbatch_max 512", "line 7, column 11", ["the line: batch_max 512"]),
    "syntax header": (OK + "[worker\n", "line 6, column 8", ["the line: [worker"]),
    "syntax secret": (NEW + f'password = "{SECRET}', "line 5, column", ["not shown"]),
    "syntax secret no quote": (NEW + f"password = {SECRET}", "line 5, column", ["not shown"]),
    "syntax misspelt secret": (NEW + f"pasword = {SECRET}", "line 5, column", ["not shown"]),
    "syntax long secret": (NEW + f'password = """\n{SECRET}\\q', "line 6, column", ["not shown"]),
    "syntax secret URL": (f'[redis]\nurl = redis://:{SECRET}@r"', "line 2, column", ["not shown"]),
    "syntax twice": (
        OK + "[worker]\nprocs = 1\nprocs = 2",
        "line 8",
        ["overwrite", "procs = 2", "stands above"],
    ),
    "syntax open": (OK + "mailboxes = [", "line 6", ["not TOML", "still open"]),
    "syntax open text": (NEW + f'password = """{SECRET}', "line 5", ["not TOML", "still open"]),
    "too deep": ("x = " + "[" * 5000, "", ["nested too deep"]),
}


@pytest.mark.parametrize(("text", "where", "said"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_wrong_file(write: WriteConfig, text: str, where: str, said: list[str]) -> None:
    path = write(text)
    message = refusal(path)
    assert message.startswith(str(path))
    assert where in message.splitlines()[0]
    for part in said:
        assert part in message


START = "FASTMAIL_INGEST__"
WRONG_VARIABLES = {
    "number": (
        {"WORKER__BATCH_MAX": "many"},
        "[worker] batch_max",
        ['got "many"', "set FASTMAIL_INGEST__WORKER__"],
    ),
    "boolean": ({"PRODUCER__IDLE": "maybe"}, "[producer] idle", ["true or false", "or unset it"]),
    "bytes": ({"LOGGING__LEVEL": "\udcff"}, "UTF-8", ["other bytes"]),
    "section": ({"WROKER__PROCS": "1"}, "section WROKER", ["did you mean WORKER", "REDIS, ACCOUNTS"]),
    "key": ({"WORKER__PROC": "1"}, "key PROC", ["did you mean PROCS", "BATCH_MAX"]),
    "no key": ({"WORKER": "1"}, "unknown key", ["PROCS"]),
    "lower case": ({"worker__procs": "1"}, "section worker", ["did you mean WORKER"]),
    "account": ({"ACCOUNTS__WROK__PORT": "1"}, "account WROK", ["did you mean WORK", "WROK__HOST"]),
    "no account": ({"ACCOUNTS__PORT": "1"}, "unknown name", ["ACCOUNTS__NAME__KEY"]),
    "account key": ({"ACCOUNTS__WORK__PORTS": "1"}, "key PORTS", ["did you mean PORT"]),
    "account value": ({"ACCOUNTS__WORK__PORT": "imap"}, '(name "work") port', ["between 0 and 65535"]),
    "account list": ({"ACCOUNTS__WORK__MAILBOXES": ""}, '(name "work") mailboxes', ["MAILBOXES=INBOX"]),
    "account missing": (
        {"ACCOUNTS__NEW__HOST": "h"},
        '(name "new") user',
        ["set FASTMAIL_INGEST__ACCOUNTS__NEW__USER"],
    ),
    "rename": ({"ACCOUNTS__WORK__NAME": "home"}, "WORK__NAME", ["written WORK"]),
    "two secrets": ({"ACCOUNTS__WORK__PASSWORD": SECRET}, '(name "work")', ["got two"]),
    "rule": (
        {"RETRY_FOR__KEYERROR__ATTEMPTS": "1"},
        "[[retry_for]] cannot be set in the environment",
        ["unset the variable", "into the file"],
    ),
    "rule alone": ({"RETRY_FOR": "1"}, "[[retry_for]] cannot be set in the environment", ["unset"]),
    "breaker error": (
        {"BREAKER__ERRORS": "OSError,a b"},
        "[breaker] errors",
        ['"a b"', "ERRORS=ConnectionError,"],
    ),
    "order": ({"PRODUCER__POLL_MAX": "0.1"}, "[producer] poll_max", ["poll_max >= poll_min"]),
}


@pytest.mark.parametrize(("variables", "where", "said"), WRONG_VARIABLES.values(), ids=WRONG_VARIABLES)
def test_wrong_variable(write: WriteConfig, variables: dict[str, str], where: str, said: list[str]) -> None:
    environ = {START + name: value for name, value in variables.items()}
    message = refusal(write(OK), environ)
    assert next(iter(environ)).rpartition("__")[0] in message
    assert where in message.splitlines()[0]
    for part in said:
        assert part in message


def test_variable_that_could_mean_two_accounts(write: WriteConfig) -> None:
    text = OK.replace('"work"', '"a-b"') + OK.replace('"work"', '"a_b"')
    assert "one account" in refusal(write(text), {START + "ACCOUNTS__A_B__PORT": "1"})


def test_nothing_at_all() -> None:
    message = refusal(None)
    assert message.startswith("environment: [[accounts]]: expected at least one")
    assert "supervisor.toml" in message


def test_missing_file(tmp_path: Path) -> None:
    assert "there is none" in refusal(tmp_path / "none.toml")


def test_directory_in_place_of_a_file(tmp_path: Path) -> None:
    assert "got a directory" in refusal(tmp_path)


def test_path_that_is_none(tmp_path: Path) -> None:
    assert "not a path" in refusal(tmp_path / "a\0b")


def test_file_below_a_file(write: WriteConfig) -> None:
    assert "Not a directory" in refusal(write("") / "x")


def test_permission_denied(write: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(OK)
    monkeypatch.setattr(Path, "open", denied)  # root, as in many containers, may read everything
    assert "permission is denied" in refusal(path)


def test_secret_file_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p"
    path.touch(0o600)

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    names = {"HOST": "h", "USER": "u", "PASSWORD_FILE": str(path)}
    environ = {f"{START}ACCOUNTS__X__{key}": value for key, value in names.items()}
    assert "Permission denied" in refusal(None, environ)


@pytest.mark.parametrize("encoded", ["[logging]\n# Grüße".encode("latin-1"), OK.encode("utf-16")])
def test_not_utf8(write: WriteConfig, encoded: bytes) -> None:
    path = write("")
    path.write_bytes(encoded)
    assert "not UTF-8" in refusal(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "an empty file"), (b"\n", "an empty file"), (b"a\nb\n", "one line"), (b"\xff\xfe", "UTF-8")],
)
def test_content_of_a_secret_file(write: WriteConfig, tmp_path: Path, content: bytes, said: str) -> None:
    path = write(OK)
    (tmp_path / "work.password").write_bytes(content)
    assert said in refusal(path)


def test_oversized_secret_file(write: WriteConfig, tmp_path: Path) -> None:
    path = write(OK)
    (tmp_path / "work.password").write_bytes(b"x" * 100_000)
    assert "nothing but the password" in refusal(path)


def test_secret_file_that_everybody_may_read(write: WriteConfig, tmp_path: Path) -> None:
    path = write(OK)
    (tmp_path / "work.password").chmod(0o644)
    assert f"chmod 600 {tmp_path}/work.password" in refusal(path)


@pytest.mark.parametrize(
    "text",
    [
        NEW + f'password = "{SECRET}"',
        OK + f'[redis]\npassword = "{SECRET}"',
        OK + f'[redis]\nurl = "redis://:{SECRET}@r"',
        OK + f'[redis]\nurl = "redis://r?password={SECRET}"',
    ],
)
def test_password_in_a_file_that_everybody_may_read(write: WriteConfig, text: str) -> None:
    path = write(text)
    path.chmod(0o604)
    assert f"chmod 600 {path}" in refusal(path)


def test_a_file_without_passwords_may_be_read_by_everybody(write: WriteConfig) -> None:
    path = write(OK)
    path.chmod(0o644)
    assert load(path, {}).accounts
