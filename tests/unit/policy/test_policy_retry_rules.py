"""Which rule holds for which exception, and what is no failure of the mail."""

import math
import socket
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.config.failure import DEPENDENCY_ERRORS
from fastmail_ingest.errors import CircuitOpen, Reject, Retry, SinkUnavailable
from fastmail_ingest.policy.backoff import Backoff
from fastmail_ingest.policy.faulty import names_of, speaks_of_a_dependency
from fastmail_ingest.policy.retry import (
    DELAY_MAX_S,
    OUTAGE_WAIT_MAX_S,
    ErrorRules,
    GiveUp,
    Past,
    Postpone,
    RetryRule,
    TryAgain,
    decide,
)

BACKOFF = Backoff(1.0, 2.0, 60.0, 0.0)
GENERAL = RetryRule(5, BACKOFF)


def rule(attempts: int) -> RetryRule:
    return RetryRule(attempts, BACKOFF)


def past(failures: int, waiting_s: float = 0.0) -> Past:
    return Past(failures, failures, waiting_s)


def foreign(name: str, module: str, base: type[Exception] = Exception) -> type[Exception]:
    """An exception class as a library defines it."""
    return type(name, (base,), {"__module__": module})


HttpError = foreign("ConnectionError", "requests.exceptions", OSError)


@pytest.mark.parametrize(
    ("error", "names", "attempts"),
    [
        (ValueError(), {}, 5),
        (ValueError(), {"KeyError": 1}, 5),
        (ValueError(), {"ValueError": 2}, 2),
        (ValueError(), {"builtins.ValueError": 2}, 2),
        (ConnectionResetError(), {"OSError": 1, "ConnectionError": 2}, 2),
        (ConnectionResetError(), {"ConnectionError": 2, "OSError": 1}, 2),
        (ConnectionResetError(), {"Exception": 1}, 1),
        (ConnectionResetError(), {"object": 1}, 1),
        (HttpError(), {"ConnectionError": 2}, 2),
        (HttpError(), {"requests.exceptions.ConnectionError": 3}, 3),
        (HttpError(), {"requests.ConnectionError": 3}, 3),
        (HttpError(), {"builtins.ConnectionError": 1}, 5),
        (HttpError(), {"urllib3.exceptions.ConnectionError": 1, "exceptions.ConnectionError": 1}, 5),
        (HttpError(), {"ConnectionError": 2, "requests.exceptions.ConnectionError": 3}, 3),
        (HttpError(), {"OSError": 2}, 2),
        (Retry(), {"Exception": 2}, 2),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [KeyError()])]), {"KeyError": 2}, 2),
        (ExceptionGroup("tasks", [KeyError(), OSError()]), {"KeyError": 2, "ExceptionGroup": 3}, 3),
    ],
)
def test_the_most_specific_class_wins(error: Exception, names: dict[str, int], attempts: int) -> None:
    rules = ErrorRules(GENERAL, {name: rule(number) for name, number in names.items()})
    assert rules.rule_for(error).attempts == attempts
    assert isinstance(decide(error, past(attempts - 1), rules, 0.5), TryAgain) or attempts == 1
    assert decide(error, past(attempts), rules, 0.5) == GiveUp("retries_exhausted")


def test_nested_classes_have_names_too() -> None:
    missing = type("DoesNotExist", (LookupError,), {"__module__": "shop.models"})
    missing.__qualname__ = "Order.DoesNotExist"
    names = list(names_of(missing()))
    assert names[:3] == ["shop.models.Order.DoesNotExist", "shop.Order.DoesNotExist", "DoesNotExist"]


def test_a_rule_names_its_own_delays() -> None:
    rules = ErrorRules(GENERAL, {"KeyError": RetryRule(5, Backoff(30.0, 1.0, 30.0, 0.0))})
    assert decide(KeyError(), past(1), rules, 0.5) == TryAgain(30.0)
    assert decide(ValueError(), past(1), rules, 0.5) == TryAgain(1.0)


def test_a_rule_rejects_at_once_unless_the_handler_asks_for_another_try() -> None:
    rules = ErrorRules(GENERAL, {"Exception": RetryRule(5, BACKOFF, reject=True)})
    assert decide(ValueError(), past(1), rules, 0.5) == GiveUp("rejected")
    assert decide(Retry(after=3), past(1), rules, 0.5) == TryAgain(3)
    assert decide(Reject(), past(1), rules, 0.5) == GiveUp("rejected")


@pytest.mark.parametrize(
    ("retry_in_s", "after_s"),
    [
        (30.0, 30.0),
        (0.0, 1.0),
        (-5.0, 1.0),
        (math.nan, 1.0),
        (math.inf, 1.0),
        (1e99, DELAY_MAX_S),
    ],
)
def test_an_open_breaker_postpones(retry_in_s: float, after_s: float) -> None:
    rules = ErrorRules(GENERAL, {"Exception": RetryRule(1, BACKOFF, reject=True)})
    assert decide(CircuitOpen("crm", retry_in_s), past(99), rules, 0.5) == Postpone(after_s)
    group = ExceptionGroup("tasks", [CircuitOpen("crm", retry_in_s)])
    assert decide(group, past(99), rules, 0.5) == Postpone(after_s)


@given(
    error=st.sampled_from([ValueError(), Retry(), Retry(after=7), Retry(after=timedelta(1)), Reject(), OSError()]),
    failures=st.integers(1, 200),
    attempts=st.integers(1, 100),
    random=st.floats(0, 1, exclude_max=True),
)  # fmt: skip
def test_no_mail_is_tried_for_ever(error: Exception, failures: int, attempts: int, random: float) -> None:
    rules = ErrorRules(GENERAL, {"Exception": RetryRule(attempts, BACKOFF)})
    verdict = decide(error, past(failures), rules, random)
    assert isinstance(verdict, GiveUp) == (failures >= attempts or isinstance(error, Reject))


@pytest.mark.parametrize(
    ("error", "speaks"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (socket.gaierror(), True),
        (CircuitOpen("crm", 1.0), True),
        (HttpError(), True),
        (foreign("OperationalError", "psycopg.errors")(), True),
        (ExceptionGroup("tasks", [ConnectionResetError()]), True),
        (PermissionError(), True),
        (FileNotFoundError(), False),
        (IsADirectoryError(), False),
        (ValueError(), False),
        (UnicodeDecodeError("utf-8", b"", 0, 1, ""), False),
        (Reject("spam"), False),
        (ExceptionGroup("tasks", [ConnectionResetError(), ValueError()]), False),
    ],
)
def test_what_speaks_of_a_dependency(error: Exception, speaks: bool) -> None:
    assert speaks_of_a_dependency(error, DEPENDENCY_ERRORS) == speaks


def test_qualified_names_speak_of_a_dependency() -> None:
    assert speaks_of_a_dependency(HttpError(), {"requests.ConnectionError"})
    assert not speaks_of_a_dependency(ConnectionError(), {"requests.ConnectionError"})
    assert not speaks_of_a_dependency(HttpError(), set())


def test_a_missing_file_speaks_of_a_dependency_where_it_is_said_to() -> None:
    assert speaks_of_a_dependency(FileNotFoundError(), ["FileNotFoundError"])


def with_patience(**by_name: RetryRule) -> ErrorRules:
    return ErrorRules(GENERAL, by_name, frozenset(DEPENDENCY_ERRORS), patience_s=3600.0)


def test_an_outage_uses_up_no_attempt_while_there_is_patience() -> None:
    rules = with_patience()
    assert decide(ConnectionResetError(), past(9, 3599.0), rules, 0.5) == Postpone(60.0)
    assert decide(ConnectionResetError(), past(2, 3600.0), rules, 0.5) == TryAgain(2.0)
    assert decide(ConnectionResetError(), past(5, 3600.0), rules, 0.5) == GiveUp("retries_exhausted")
    assert decide(ValueError(), past(5, 0.0), rules, 0.5) == GiveUp("retries_exhausted")


def test_who_waits_for_an_outage_is_not_late_for_long() -> None:
    slow = ErrorRules(
        RetryRule(5, Backoff(1.0, 2.0, 3600.0, 0.0)), {}, frozenset(DEPENDENCY_ERRORS), patience_s=3600.0
    )
    assert decide(TimeoutError(), past(30), slow, 0.5) == Postpone(OUTAGE_WAIT_MAX_S)


def test_a_rule_of_its_own_is_obeyed_even_in_an_outage() -> None:
    rules = with_patience(ConnectionError=rule(2))
    assert decide(ConnectionResetError(), past(2), rules, 0.5) == GiveUp("retries_exhausted")
    assert decide(TimeoutError(), past(2), rules, 0.5) == Postpone(2.0)


def test_a_sink_may_say_when_to_come_again() -> None:
    assert decide(SinkUnavailable("busy", after=7), past(9), with_patience(), 0.5) == Postpone(7.0)
