"""What a token endpoint's refusal means: final, or for now; and what of its words may be shown."""

from collections.abc import Iterable

from fastmail_ingest.errors import TokenUnavailable

INVALID_GRANT = "invalid_grant"
# RFC 6749 5.2 and what Google and Microsoft add to it: only a human can change these. All others pass.
_FINAL = frozenset(
    {
        INVALID_GRANT, "invalid_client", "unauthorized_client", "invalid_scope", "access_denied",
        "deleted_client", "disabled_client", "org_internal", "admin_policy_enforced",
        "interaction_required", "consent_required", "login_required",
    }
)  # fmt: skip
_SHOWN_MAX = 200  # characters
_SECRET_MIN = 6  # characters; shorter ones are no secrets, and hiding them would tear words apart


class Denied(Exception):
    """The token endpoint says no for good; `code` is its error code, the text is fit to be shown."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def refusal(answer: object, secrets: Iterable[str]) -> Denied | TokenUnavailable:
    """The error to raise for an answer that brings no token; it may be anything that JSON can hold."""
    if not isinstance(answer, dict) or not isinstance(answer.get("error"), str):
        return TokenUnavailable("the token endpoint sent an answer that is none")
    code = shown(answer["error"], secrets)
    text, description = code, answer.get("error_description")
    if isinstance(description, str) and description:
        text = f"{code}: {shown(description, secrets).rstrip(' .')}"
    if code in _FINAL:
        return Denied(code, text)
    return TokenUnavailable(f"the token endpoint gives no token now ({text})")


def shown(text: str, secrets: Iterable[str]) -> str:
    """A stranger's words for a message: one short line, without anything of ours that must not be seen."""
    for secret in secrets:
        if len(secret) >= _SECRET_MIN:
            text = text.replace(secret, "***")
    line = " ".join(text.split())[:_SHOWN_MAX]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
