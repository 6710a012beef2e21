"""What must not be shown: passwords, and URLs that carry one."""

import re

HIDDEN = "***"
SECRET_KEYS = frozenset({"password", "secret", "token"})
URL_KEYS = frozenset({"url", "host"})

_USERINFO = re.compile(r"^([a-z]*:?//)?.*@", re.IGNORECASE | re.DOTALL)
# The path of a webhook often is its password.
_HTTP_PATH = re.compile(r"^(https?://[^/?#]*)[/?#].+", re.IGNORECASE | re.DOTALL)
_QUERY_PASSWORD = re.compile(r"(password=)[^&#]*", re.IGNORECASE)


def mask_url(url: str) -> str:
    """`url` with all before its last @, a password in its query, and an HTTP path replaced by ***."""
    url = _HTTP_PATH.sub(rf"\1/{HIDDEN}", url)
    masked = _USERINFO.sub(lambda found: f"{found[1] or ''}{HIDDEN}@", url)
    return _QUERY_PASSWORD.sub(rf"\1{HIDDEN}", masked)


def carries_password(url: str) -> bool:
    """Whether `url` holds a password, in front of its host or in its query."""
    userinfo, at, _ = url.partition("//")[2].rpartition("@")
    return bool(at and ":" in userinfo) or _QUERY_PASSWORD.search(url) is not None


def presentable(key: str, value: object) -> object:
    """`value` as it may be shown for a field named `key`; an empty secret is no secret."""
    if key in SECRET_KEYS and value:
        return HIDDEN
    if key in URL_KEYS and isinstance(value, str):
        return mask_url(value)
    return value
