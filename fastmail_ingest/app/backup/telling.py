"""What `restore` says: how it is done by hand, or what was done or would be."""

from collections.abc import Iterator, Sequence

import msgspec

from fastmail_ingest.app.backup.check import Candidate
from fastmail_ingest.app.backup.instructions import Step
from fastmail_ingest.app.backup.rehearsal import Restored
from fastmail_ingest.app.operate import words
from fastmail_ingest.model.tally import Tally

_SHOWN = 20


def say_how(candidate: Candidate, steps: Sequence[Step], *, as_json: bool) -> None:
    """Print how to put it back by hand."""
    if as_json:
        words.say_json({**_facts(candidate), "done": False, "steps": msgspec.to_builtins(steps)})
        return
    words.say(_what(candidate), "bold green")
    for line in candidate.notes:
        words.say(line, "yellow")
    words.say("Nothing was changed. `--force` puts it back, `--dry-run` says what that would do. By hand:")
    for number, step in enumerate(steps, 1):
        words.say(f"{number}. {step.text}")
        for command in step.commands:
            words.say(f"     {command}")


def say_restored(candidate: Candidate, restored: Restored, *, done: bool, as_json: bool) -> None:
    """Print what was done, or would be."""
    if as_json:
        words.say_json({**_facts(candidate), "done": done, **msgspec.to_builtins(restored, str_keys=True)})
        return
    words.say(_what(candidate), "bold green")
    for line in [*candidate.notes, *restored.notes]:
        words.say(line, "yellow")
    words.say(f"{'It is' if done else 'It would be'} put back into {restored.target}.")
    for line in _what_it_means(candidate, restored):
        words.say(line)
    if restored.kept:
        words.say(f"What was there before is kept in {restored.kept}; remove it when all is well.")
    words.say("Now start it: fastmail-ingest supervise" if done else "Nothing was changed.", "bold")


def _what(candidate: Candidate) -> str:
    return f"{candidate.path} is whole: written by {candidate.facts.server} at {_taken(candidate)} UTC"


def _taken(candidate: Candidate) -> str:
    return words.moment(_taken_at(candidate))


def _taken_at(candidate: Candidate) -> float:
    return candidate.manifest.taken_at if candidate.manifest is not None else candidate.facts.saved_at


def _what_it_means(candidate: Candidate, restored: Restored) -> Iterator[str]:
    revived, large, taken = restored.revived, restored.large, _taken(candidate)
    yield in_words(revived.tally)
    if revived.workers:
        yield f"Given back: {revived.put_back} mails that {revived.workers} workers held then."
    if revived.leases:
        yield f"Ended: the leases of {revived.leases} supervisors of then."
    if revived.forgotten or revived.taken_in:
        yield (
            f"Mended: {revived.forgotten} mails were in the books and nowhere else and are fetched again, "
            f"{revived.taken_in} were in no book and are taken in."
        )
    if revived.tally.waiting:
        yield (
            f"What was handled after {taken} is forgotten: of the {revived.tally.waiting} mails that wait, "
            "those come to the handler again. So all of them come with email.attempt above 1."
        )
    yield (
        f"Nothing that was done by {taken} is handled again. Mails that came after it are fetched again from "
        f"where the {revived.tally.cursors} cursors were then, as far as their servers still have them."
    )
    if large.count:
        yield (
            f"Large mails: {large.count}; the bytes of {len(large.to_put_back)} come out of the backup, "
            f"those of {len(large.missing)} are nowhere, and these mails end as dead letters."
        )
    for name in large.missing[:_SHOWN]:
        yield f"     missing: {name}"


def in_words(tally: Tally) -> str:
    """How many mails are where, in one line."""
    return (
        f"In it: {tally.lanes} mails to handle, {tally.delayed} waiting for a retry, {tally.dead} dead "
        f"letters, {tally.done} remembered as done, {tally.cursors} cursors."
    )


def _facts(candidate: Candidate) -> dict[str, object]:
    return {
        "path": str(candidate.path), "taken_at": _taken_at(candidate), "server": candidate.facts.server,
        "manifest": msgspec.to_builtins(candidate.manifest), "notes": candidate.notes,
    }  # fmt: skip
