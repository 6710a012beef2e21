"""The sections about failing: [retry], [[retry_for]] and [breaker]."""

from typing import Annotated

from msgspec import Meta, field
from msgspec.structs import replace

from fastmail_ingest.config.section import DAY_S, Section, expects

# \Z and not $: the latter would let a trailing line break pass.
_CLASS_NAME = r"^[^\W\d]\w*(\.[^\W\d]\w*)*\Z"
ATTEMPTS_MAX = 100
DELAY_MAX_S = 30 * DAY_S
MULTIPLIER_MAX = 1000

# The names that network clients, database drivers and HTTP clients give to "nobody answers".
DEPENDENCY_ERRORS = (
    "OSError",
    "ConnectionError",
    "TimeoutError",
    "OperationalError",
    "InterfaceError",
    "ConnectError",
    "ConnectTimeout",
    "CircuitOpen",
)

_WORDS = 'class name, "Error" or "package.module.Error"'
ClassName = Annotated[str, Meta(pattern=_CLASS_NAME, extra=expects(f"a {_WORDS}"))]


class RetryConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to a mail whose handler failed."""

    attempts: Annotated[
        int,
        Meta(description="Calls of the handler before a mail becomes a dead letter.", ge=1, le=ATTEMPTS_MAX),
    ] = 5
    first: Annotated[float, Meta(description="Wait after the first failure, s.", ge=0, le=DELAY_MAX_S)] = 1.0
    multiplier: Annotated[
        float, Meta(description="Each wait is so many times the one before.", ge=1, le=MULTIPLIER_MAX)
    ] = 2.0
    cap: Annotated[float, Meta(description="Longest wait, s.", ge=0, le=DELAY_MAX_S)] = 3600.0
    jitter: Annotated[
        float, Meta(description="Part of a wait that is random, so that retries spread.", ge=0, le=1)
    ] = 0.2
    max_deaths: Annotated[
        int,
        Meta(
            description="A mail that was in hand at so many deaths of a worker becomes a dead letter.",
            ge=1,
            le=100,
        ),
    ] = 3


class RetryFor(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another patience for one kind of exception. Write one such block for each.

    What it does not say is as in [retry]. Of several blocks that fit, that for the most specific class
    holds.
    """

    error: Annotated[
        str,
        Meta(
            description="Class of the exception, or a base of it: its name, alone or with its module.",
            pattern=_CLASS_NAME,
            extra=expects(f"a {_WORDS}"),
            examples=["requests.exceptions.ConnectionError"],
        ),
    ]
    attempts: Annotated[
        Annotated[int, Meta(ge=1, le=ATTEMPTS_MAX)] | None,
        Meta(description="Calls of the handler before a mail becomes a dead letter.", examples=[20]),
    ] = None
    first: Annotated[
        Annotated[float, Meta(ge=0, le=DELAY_MAX_S)] | None,
        Meta(description="Wait after the first failure, s.", examples=[30.0]),
    ] = None
    multiplier: Annotated[
        Annotated[float, Meta(ge=1, le=MULTIPLIER_MAX)] | None,
        Meta(description="Each wait is so many times the one before.", examples=[1.5]),
    ] = None
    cap: Annotated[
        Annotated[float, Meta(ge=0, le=DELAY_MAX_S)] | None,
        Meta(description="Longest wait, s.", examples=[600.0]),
    ] = None
    jitter: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="Part of a wait that is random, so that retries spread.", examples=[0.5]),
    ] = None
    reject: Annotated[
        bool, Meta(description="Straight to the dead letters, without another try.", examples=[False])
    ] = False

    def over(self, general: RetryConfig) -> RetryConfig:
        """`general` with what this block says instead."""
        said = {
            name: value
            for name in ("attempts", "first", "multiplier", "cap", "jitter")
            if (value := getattr(self, name)) is not None
        }
        return replace(general, **said)


class BreakerConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """While something that your handler depends on is down, no mail is taken."""

    failures: Annotated[
        int, Meta(description="So many failures in a row open the breaker.", ge=1, le=10000)
    ] = 10
    recovery: Annotated[
        float,
        Meta(
            description="An open breaker lets one mail through as a probe after so long, s.",
            ge=0.05,
            le=DAY_S,
        ),
    ] = 10.0
    successes: Annotated[
        int, Meta(description="So many probes must succeed before it closes.", ge=1, le=1000)
    ] = 2
    patience: Annotated[
        float,
        Meta(
            description="For so long after a mail was fetched, such a failure uses up none of its [retry] "
            "attempts, s.",
            ge=0,
            le=DELAY_MAX_S,
        ),
    ] = DAY_S
    errors: Annotated[
        list[ClassName],
        Meta(
            description="Exceptions of your handler that say that something it depends on is down, not "
            "that the mail is bad. So many of them in a row open the breaker: no mail is taken until a "
            "probe succeeds. Class names as in [[retry_for]]; an empty list switches the breaker off.",
            extra=expects('a list of class names, each "Error" or "package.module.Error"'),
            examples=[["ConnectionError", "TimeoutError"]],
        ),
    ] = field(default_factory=lambda: list(DEPENDENCY_ERRORS))
