"""What became of a mail, from what a worker would settle."""

from fastmail_ingest.errors import CircuitOpen, Reject, Retry
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Dead, Delayed, Settlement
from fastmail_ingest.pipeline.judge import Judge, OpenedMail, describe, words_of
from fastmail_ingest.policy.faulty import unwrapped
from fastmail_ingest.testing.deadline import Hung
from fastmail_ingest.testing.outcome import Outcome, Status


class Listening(Judge):
    """Decides as always, and keeps what was raised."""

    error: BaseException | None = None
    hung = False
    late = False  # it was cancelled at its deadline; a thread of it may go on
    late_is_hung = False

    def decide(self, opened: OpenedMail, error: BaseException, *, counts: bool = True) -> Delayed | Dead:
        """Note and decide; Ctrl-C is meant for whoever runs the trial."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        self.error = error
        self.late = not counts
        self.hung = isinstance(unwrapped(error), Hung) or (self.late_is_hung and not counts)
        if self.hung:
            return Delayed(opened.entry, opened.email.id, 0.0, "hung")
        return super().decide(opened, error, counts=counts)

    def failures(self, failed: Delayed, error: BaseException) -> str:
        """Which failure of how many, in words."""
        if not failed.counts:
            return "without counting a failure"
        return f"failure {failed.entry.failures + 1} of {self._rules.rule_for(error).attempts}"


def outcome_of(email: Email, seconds: float, judge: Listening, settlement: Settlement) -> Outcome:
    """In words for whoever tries a handler; `seconds` is how long it took."""
    error = judge.error
    if error is None:
        return Outcome("done", email, seconds)
    inner = unwrapped(error)
    # What a handler raises on purpose is its own words; anything else needs the class to be understood.
    on_purpose = isinstance(inner, (Retry, Reject))
    reason = words_of(inner) if on_purpose else describe(error)
    if settlement.dead:
        why = settlement.dead[0].reason
        dead: Status = "rejected" if why == "rejected" else "failed"
        return Outcome(dead, email, seconds, reason, f"a dead letter now ({why})", None, error)
    failed = settlement.delayed[0]
    then = f"again in {failed.after_s:.1f} s ({judge.failures(failed, error)})"
    status: Status = "retry" if isinstance(inner, (Retry, CircuitOpen)) else "failed"
    return Outcome(status, email, seconds, reason, then, failed.after_s, error)
