"""What becomes of a mail whose handler raised: the decision, its words for the log, its record."""

import logging
import math
import random
import time
import traceback
from pathlib import Path

import msgspec

from fastmail_ingest.errors import told
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Dead, Delayed, Entry
from fastmail_ingest.model.scope import fields
from fastmail_ingest.pipeline.guard import Guard
from fastmail_ingest.policy import retry

_log = logging.getLogger(__name__)

_SHOWN_CHARS = 400  # of what an exception says, in the log


class OpenedMail(msgspec.Struct):
    """An entry and the mail that was in it."""

    entry: Entry
    email: Email
    fetched_at: float


class Judge:
    """Decides by the retry rules and by the breaker around the handler."""

    def __init__(self, rules: retry.ErrorRules, guard: Guard) -> None:
        self._rules = rules
        self.guard = guard

    def decide(self, opened: OpenedMail, error: BaseException, *, counts: bool = True) -> Delayed | Dead:
        """Decide on a mail whose handler raised `error`; `counts` false: it is the mail's, not an outage."""
        failures = opened.entry.failures + 1
        past = retry.Past(
            failures, opened.entry.attempt, time.time() - opened.fetched_at if counts else math.inf
        )
        decision = retry.decide(error, past, self._rules, random.random())  # noqa: S311
        rejected = isinstance(decision, retry.GiveUp) and decision.reason == "rejected"
        if rejected:
            self.guard.succeeded()
        elif counts and self.guard.failed(error, opened.email.id):
            return self.postpone(opened, error)
        if isinstance(decision, retry.GiveUp):
            return _given_up(opened, error, decision.reason)
        return self._again(opened, error, failures, decision)

    def postpone(self, opened: OpenedMail, error: BaseException) -> Delayed:
        """Put off a mail that is not to blame: the breaker opened while its neighbours were tried."""
        wait = retry.Postpone(max(retry.POSTPONE_MIN_S, self.guard.retry_in_s()))
        return self._again(opened, error, opened.entry.failures, wait)

    def _again(
        self,
        opened: OpenedMail,
        error: BaseException,
        failures: int,
        decision: retry.TryAgain | retry.Postpone,
    ) -> Delayed:
        email, what = opened.email, _shown(error)
        counted = isinstance(decision, retry.TryAgain)
        if counted:
            attempts = self._rules.rule_for(error).attempts
            text = "mail %s: the handler raised %s%s; failure %d of %d, again in %.1f s"
            words: tuple[object, ...] = (email.id, what, _place(error), failures, attempts, decision.after_s)
        else:
            text = "mail %s is postponed for %.1f s, without counting a failure: %s%s"
            words = (email.id, decision.after_s, what, _place(error))
        _log.warning(text, *words, extra=fields(email))
        return Delayed(opened.entry, email.id, decision.after_s, describe(error), counts=counted)


def _given_up(opened: OpenedMail, error: BaseException, reason: str) -> Dead:
    email = opened.email
    text = "mail %s is a dead letter now (%s): %s%s"
    _log.error(text, email.id, reason, _shown(error), _place(error), extra=fields(email))
    trace = "".join(traceback.format_exception(error, limit=-20))
    return Dead(opened.entry, email.id, reason, type(error).__name__, words_of(error), trace)


def describe(error: BaseException) -> str:
    """Class and message of an exception."""
    return f"{type(error).__name__}: {words_of(error)}"


def _shown(error: BaseException) -> str:
    """The same for the log, without what may quote the mail."""
    try:
        words = told(error)
    except BaseException:
        words = ""  # a user's own exception may fail even at that
    return f"{type(error).__name__}: {words[:_SHOWN_CHARS]}" if words else type(error).__name__


def words_of(error: BaseException) -> str:
    """What the exception says; a user's own exception may fail even at that."""
    try:
        return str(error)
    except BaseException:
        return "(its message cannot be shown)"


def _place(error: BaseException) -> str:
    """Where in the user's code it was raised, for the log."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
