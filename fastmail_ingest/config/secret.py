"""Secrets from files, and paths that start at the configuration file."""

import os
import re
import stat
from pathlib import Path

from msgspec.structs import replace

from fastmail_ingest.config.account import Account
from fastmail_ingest.config.admin import HOW_TO_MAKE_ONE, TOKEN, TOKEN_CHARS_MIN, AdminConfig
from fastmail_ingest.config.boxed_files import PostgresConfig
from fastmail_ingest.config.draft import Draft, Place
from fastmail_ingest.config.environment import PREFIX, account_token, account_variable
from fastmail_ingest.config.explain import complaint
from fastmail_ingest.config.layout import ACCOUNTS
from fastmail_ingest.config.outgoing import WebhookConfig
from fastmail_ingest.config.schema import Config, RedisConfig
from fastmail_ingest.config.secrecy import carries_password
from fastmail_ingest.config.section import ONE_LINE, Section
from fastmail_ingest.config.toml_file import origin_of
from fastmail_ingest.errors import ConfigError

SECRET_BYTES_MAX = 64 * 1024
_SECRETS = (("redis", "password"), ("webhook", "secret"), ("postgres", "password"), ("admin", "token"))
# The ways to log in; an account has exactly one.
LOGINS = ("password", "password_file", "oauth_client_file", "oauth_client_id", "service_account_file")


def resolve(config: Config, draft: Draft) -> Config:
    """`config` with absolute paths and with the passwords that stand in files."""
    accounts = [_resolve_account(account, draft, index) for index, account in enumerate(config.accounts)]
    blobs = replace(config.blobs, directory=_absolute(draft, config.blobs.directory))
    backup = replace(config.backup, directory=_absolute(draft, config.backup.directory))
    webhook = _resolve_webhook(config.webhook, draft)
    redis = _resolve_redis(config.redis, draft)
    return replace(
        config,
        redis=redis,
        accounts=accounts,
        blobs=blobs,
        backup=backup,
        webhook=webhook,
        admin=_resolve_admin(config.admin, draft),
        **_resolve_keeping(config, draft),
    )


def refuse_exposed(draft: Draft) -> None:
    """Raise ConfigError for a password in a draft which is a file that every user can read."""
    for index, table in enumerate(draft.accounts):
        if table.get("password"):
            raise _exposed(draft, draft.place(ACCOUNTS, "password", index))
    for section, key in _SECRETS:
        if draft.tables.get(section, {}).get(key):
            raise _exposed(draft, draft.place(section, key))
    for section in ("redis", "redis_stream", "postgres"):
        url = draft.tables.get(section, {}).get("url")
        if isinstance(url, str) and carries_password(url):
            raise _exposed(draft, draft.place(section, "url"))


def read_secret(place: Place, path: Path) -> str:
    """The content of a secret file without its final line break; raise ConfigError if there is none."""
    shown = origin_of(path)
    raw = _read_private(place, path, shown)
    try:
        secret = raw.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise complaint(place, f"expected UTF-8 text in {shown}", "write the file again as UTF-8") from None
    if not secret:
        raise complaint(place, f"expected a password in {shown}, got an empty file", f"write it to {shown}")
    if len(raw) > SECRET_BYTES_MAX or re.match(ONE_LINE, secret) is None:
        problem = f"expected one line with nothing but the password in {shown}, got more"
        raise complaint(place, problem, f"remove the other lines and control characters from {shown}")
    return secret


def _read_private(place: Place, path: Path, shown: str) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "something else"
            raise complaint(place, f"expected a file at {shown}, got {kind}", "name a regular file")
        # The group may read: Kubernetes mounts secrets so (root:fsGroup, 0440).
        if status.st_mode & stat.S_IRWXO:
            remedy = f"chmod 600 {shown} (Kubernetes: defaultMode: 0440; Docker: mode: 0400)"
            raise complaint(place, f"expected a private file, but every user may open {shown}", remedy)
        with path.open("rb") as file:
            return file.read(SECRET_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "not a path"
        problem = f"expected a readable file at {shown}, got: {reason}"
        remedy = "check the path (relative ones start at the configuration file) and who may read it"
        raise complaint(place, problem, remedy) from None


def _resolve_account(account: Account, draft: Draft, index: int) -> Account:
    _check_one_login(account, draft, index)
    file = _absolute(draft, account.password_file)
    place = draft.place(ACCOUNTS, "password_file", index)
    oauth = account.oauth_client_file or account.oauth_client_id
    token_file = account.token_file or (f"{account.name}.token.json" if oauth else "")
    return replace(
        account,
        host=account.host or account.known.host,
        tls_ca_file=_absolute(draft, account.tls_ca_file),
        password_file=file,
        password=read_secret(place, Path(file)) if file else account.password,
        oauth_client_file=_absolute(draft, account.oauth_client_file),
        service_account_file=_absolute(draft, account.service_account_file),
        token_file=_absolute(draft, token_file),
    )


def _check_one_login(account: Account, draft: Draft, index: int) -> None:
    variable = account_variable(account_token(account.name), "password")
    given = [key for key in LOGINS if getattr(account, key)]
    if account.password and account.password_file:
        raise _two_secrets(draft.place(ACCOUNTS, "password_file", index), variable)
    if len(given) > 1:
        problem = f"expected one way to log in, got {' and '.join(given)}"
        raise complaint(draft.place(ACCOUNTS, given[1], index), problem, f"keep one of {', '.join(given)}")
    if not given:
        remedy = f'write password_file = "{account.name}.password", or set {variable}'
        if account.provider != "generic" and account.known.oauth:
            key = account.known.oauth[0]
            remedy = f"write {key} = ... for OAuth2 (see docs/OAUTH2_SETUP.md), or {remedy[6:]}"
        place = draft.place(ACCOUNTS, "password", index)
        raise complaint(place, "expected a password or another way to log in, got none", remedy)


def _resolve_redis(redis: RedisConfig, draft: Draft) -> RedisConfig:
    place = draft.place("redis", "password_file")
    others = f"{PREFIX}REDIS__PASSWORD and a url with a password"
    if redis.password_file and (redis.password or carries_password(redis.url)):
        raise _two_secrets(place, others)
    if redis.password and carries_password(redis.url):
        raise _two_secrets(draft.place("redis", "password"), others)
    file = _absolute(draft, redis.password_file)
    secret = read_secret(place, Path(file)) if file else redis.password
    data_dir = _absolute(draft, redis.data_dir)
    return replace(redis, password_file=file, password=secret, data_dir=data_dir)


def _resolve_webhook(webhook: WebhookConfig, draft: Draft) -> WebhookConfig:
    file, place = _absolute(draft, webhook.secret_file), draft.place("webhook", "secret_file")
    if webhook.secret and file:
        remedy = f"keep one of secret_file, secret, {PREFIX}WEBHOOK__SECRET"
        raise complaint(place, "expected one place for the secret, got two", remedy)
    return replace(
        webhook,
        secret_file=file,
        secret=read_secret(place, Path(file)) if file else webhook.secret,
        tls_ca_file=_absolute(draft, webhook.tls_ca_file),
    )


def _resolve_admin(admin: AdminConfig, draft: Draft) -> AdminConfig:
    file, place = _absolute(draft, admin.token_file), draft.place("admin", "token_file")
    if admin.token and file:
        remedy = f"keep one of token_file, token, {PREFIX}ADMIN__TOKEN"
        raise complaint(place, "expected one place for the token, got two", remedy)
    token = read_secret(place, Path(file)) if file else admin.token
    if token and (len(token) < TOKEN_CHARS_MIN or re.fullmatch(TOKEN, token) is None):
        problem = f"expected a token of {TOKEN_CHARS_MIN} characters or more, letters, digits and ._~+/=-"
        raise complaint(place if file else draft.place("admin", "token"), problem, HOW_TO_MAKE_ONE)
    return replace(admin, token_file=file, token=token)


def _resolve_keeping(config: Config, draft: Draft) -> dict[str, Section]:
    """The sections of the handlers that keep mails."""
    jsonl, maildir, sqlite = config.jsonl, config.maildir, config.sqlite
    return {
        "jsonl": replace(jsonl, directory=_absolute(draft, jsonl.directory)),
        "maildir": replace(maildir, directory=_absolute(draft, maildir.directory)),
        "sqlite": replace(sqlite, path=_absolute(draft, sqlite.path)),
        "postgres": _resolve_postgres(config.postgres, draft),
    }


def _resolve_postgres(postgres: PostgresConfig, draft: Draft) -> PostgresConfig:
    file, in_url = _absolute(draft, postgres.password_file), carries_password(postgres.url)
    if sum(map(bool, (file, postgres.password, in_url))) > 1:
        key = "password_file" if file else "password"
        raise _two_secrets(
            draft.place("postgres", key), f"{PREFIX}POSTGRES__PASSWORD and a url with a password"
        )
    place = draft.place("postgres", "password_file")
    return replace(
        postgres,
        password_file=file,
        password=read_secret(place, Path(file)) if file else postgres.password,
    )


def _absolute(draft: Draft, name: str) -> str:
    # Path.expanduser raises for a user who does not exist; this leaves the name as it is.
    return str(draft.base / os.path.expanduser(name)) if name else ""


def _two_secrets(place: Place, variable: str) -> ConfigError:
    remedy = f"keep one of password_file, password, {variable}"
    return complaint(place, "expected one password, got two", remedy)


def _exposed(draft: Draft, place: Place) -> ConfigError:
    problem = "expected no password in a file that every user can read, got one"
    return complaint(place, problem, f"chmod 600 {draft.origin}, or move it to a password_file")
