"""From the configuration to the rules by which a failing mail is tried again."""

from fastmail_ingest.config import Config, RetryConfig
from fastmail_ingest.policy.backoff import Backoff
from fastmail_ingest.policy.retry import ErrorRules, RetryRule


def error_rules(config: Config) -> ErrorRules:
    """How a failing mail is tried again, by what its handler raised."""
    general = config.retry
    special = {each.error: _rule(each.over(general), each.reject) for each in config.retry_for}
    breaker = config.breaker
    return ErrorRules(_rule(general), special, frozenset(breaker.errors), breaker.patience)


def _rule(section: RetryConfig, reject: bool = False) -> RetryRule:
    backoff = Backoff(section.first, section.multiplier, section.cap, section.jitter)
    return RetryRule(section.attempts, backoff, reject)
