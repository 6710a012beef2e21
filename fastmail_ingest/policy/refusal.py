"""What a mail server's refusal means, from its words: the codes of RFC 5530, and what the providers say.

Four outcomes: try again later, let the account rest because its limits are used up, stop asking until a
human has done something, or leave this one mail or mailbox aside.
"""

import re
from enum import Enum

from msgspec import Struct


class Outcome(Enum):
    """What is to be done about a refusal."""

    RETRY = "try again, with growing waits"
    REST = "the limits of the account are used up: leave it alone for long"
    REFRESH = "the credentials do not do: a fresh token once, then a human"
    SUSPEND = "a human must act: ask no more"
    QUARANTINE = "leave this mail or mailbox aside, go on with the others"
    UNKNOWN = "it says nothing that we know"


class Refusal(Struct, frozen=True):
    """The outcome, for how long the server wants to be left alone (0.0: it did not say), and whether it has
    too many connections of this account.
    """

    outcome: Outcome
    retry_after_s: float = 0.0
    too_many_connections: bool = False


_CODES = {
    "UNAVAILABLE": Outcome.RETRY,
    "INUSE": Outcome.RETRY,
    "LIMIT": Outcome.RETRY,
    "SERVERBUG": Outcome.RETRY,
    "THROTTLED": Outcome.RETRY,  # not registered; Yahoo says so, and Dovecot's imapc waits for seconds then
    "AUTHENTICATIONFAILED": Outcome.REFRESH,
    "EXPIRED": Outcome.REFRESH,
    "AUTHORIZATIONFAILED": Outcome.SUSPEND,
    "NOPERM": Outcome.SUSPEND,
    "CONTACTADMIN": Outcome.SUSPEND,
    "PRIVACYREQUIRED": Outcome.SUSPEND,
    "WEBALERT": Outcome.SUSPEND,  # Google: an address in the browser at which the user must confirm
    "CORRUPTION": Outcome.QUARANTINE,
    "NONEXISTENT": Outcome.QUARANTINE,
    "CANNOT": Outcome.QUARANTINE,
}
# A code may be glued to the end of the line as well (seen at Yahoo, by Dovecot's imapc).
_CODE = re.compile(r"\[([A-Z]+)\b", re.IGNORECASE)
# "Request is throttled. Suggested Backoff Time: 299961 milliseconds" (Exchange Online).
_BACKOFF = re.compile(r"suggested backoff time:?\s*(\d{1,12})\s*(milliseconds|seconds)?", re.IGNORECASE)
_BACKOFF_MAX_S = 6 * 3600.0
_TOO_MANY = re.compile(r"too many simultaneous connections|mail_max_userip_connections", re.IGNORECASE)
_REST = re.compile(r"exceeded (?:command or )?bandwidth limits|bandwidth limit", re.IGNORECASE)
_RETRY = re.compile(
    r"request is throttled|session expired, please login again|server busy|try again later"
    r"|system error|temporary (?:authentication )?(?:failure|error|problem)|lookup failed",
    re.IGNORECASE,
)
_HUMAN = re.compile(
    r"web browser|application-specific password|app password|account (?:is )?(?:disabled|locked|blocked)"
    r"|not enabled for imap|imap (?:access )?is disabled|disabled imap"
    # Exchange Online, to SELECT after a good login: IMAP is switched off for the mailbox.
    r"|user is authenticated but not connected",
    re.IGNORECASE,
)


def blames_the_mail(text: str) -> bool:
    """Whether a FETCH that is refused with these words may be refused for one of its mails."""
    return classify(text).outcome in (Outcome.UNKNOWN, Outcome.QUARANTINE) or "[SERVERBUG]" in text.upper()


def shuts_the_account(text: str) -> bool:
    """Whether these words, said of a mailbox after a good login, mean that none of the account is served.

    A code such as NOPERM speaks of what was asked for (RFC 5530 3), whatever its name makes of the words.
    """
    codes = {code.upper() for code in _CODE.findall(text)} & _CODES.keys()
    return classify(text).outcome is Outcome.SUSPEND and codes <= {"WEBALERT"}


def classify(text: str) -> Refusal:
    """What a NO, BAD or BYE with these words means; the first code that is known decides, then the words."""
    if backoff := _BACKOFF.search(text):
        unit_s = 1.0 if (backoff[2] or "").lower() == "seconds" else 0.001
        return Refusal(Outcome.RETRY, min(int(backoff[1]) * unit_s, _BACKOFF_MAX_S))
    if _TOO_MANY.search(text):
        return Refusal(Outcome.RETRY, too_many_connections=True)
    # OVERQUOTA is about storage elsewhere (RFC 5530 3): it means traffic to whoever only reads.
    if _REST.search(text) or "[OVERQUOTA]" in text.upper():
        return Refusal(Outcome.REST)
    if _HUMAN.search(text):
        return Refusal(Outcome.SUSPEND)
    for code in _CODE.findall(text):
        if (outcome := _CODES.get(code.upper())) is not None:
            return Refusal(outcome)
    return Refusal(Outcome.RETRY if _RETRY.search(text) else Outcome.UNKNOWN)
