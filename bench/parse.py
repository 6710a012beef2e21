"""How long do subject, sender and text of a mail take, and how long with the stdlib's compat32 parser?

    python bench/parse.py [--mails 1000] [--rounds 9] [--corpus DIRECTORY ...] [--json]

The mails: made-up ones of 18 KB mean, the kept ones of others (tests/corpora), and those of each directory that is named,
also by size. All sides read the same mails in the same run, by turns; times are CPU time of one process, medians of the
rounds. `fast-mail-parser alone` makes the MIME tree and decodes nothing: what no care of ours can go below.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import apparatus
import fast_mail_parser
import msgspec
import stdlib_reader
from support.agreement import Compared, of_files
from support.corpora import KEPT, kept_mails, mails_in

from fastmail_ingest.model.mime import Mail
from fastmail_ingest.simulator import mixed

TARGET_PER_S = 15_000
TARGET_RATIO = 8.0
_KB = 1024
# Name, from, below: bytes.
_CLASSES = (("below 4 KB", 0, 4 * _KB), ("4 to 32 KB", 4 * _KB, 32 * _KB), ("above", 32 * _KB, 1 << 62))


class Measured(msgspec.Struct, frozen=True):
    """Microseconds a mail of each side, and the mail that took us longest, in milliseconds."""

    what: str
    mails: int
    mean_bytes: int
    ours_us: float
    stdlib_us: float
    bare_us: float
    slowest_ms: float
    slowest: str
    stdlib_raised: int

    @property
    def ratio(self) -> float:
        return self.stdlib_us / self.ours_us


class Agreement(msgspec.Struct, frozen=True):
    """How far our reading is the stdlib's; see tests/unit/model/test_model_parsers_agree.py."""

    mails: int
    differ: int
    well_formed: int
    well_formed_differ: list[str]


class Result(msgspec.Struct, frozen=True):
    """One run."""

    measured: list[Measured]
    agreement: Agreement


def ours(raw: bytes) -> object:
    mail = Mail(raw)
    return mail.head.subject, mail.head.from_, mail.text


def bare(raw: bytes) -> object:
    try:
        return fast_mail_parser.parse_email_tree(raw, mode="lazy")
    except fast_mail_parser.ParseError:
        return None


def measure(what: str, mails: Sequence[tuple[str, bytes]], rounds: int) -> Measured:
    """All sides by turns, after one round to warm up."""
    raised = 0

    def stdlib(raw: bytes) -> object:
        nonlocal raised
        try:
            return stdlib_reader.read(raw)
        except Exception:
            raised += 1
            return None

    raws = [raw for _, raw in mails]
    sides: tuple[Callable[[bytes], object], ...] = (ours, stdlib, bare)
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds + 1):
        for side, seen in zip(sides, times, strict=True):
            seen.append(_seconds(side, raws))
    ours_s, stdlib_s, bare_s = (statistics.median(seen[1:]) / len(raws) * 1e6 for seen in times)
    alone = {name: min(_seconds(ours, [raw]) for _ in range(3)) for name, raw in mails}
    slowest = max(alone, key=alone.__getitem__)
    mean = sum(map(len, raws)) // len(raws)
    return Measured(
        what,
        len(raws),
        mean,
        ours_s,
        stdlib_s,
        bare_s,
        alone[slowest] * 1000,
        slowest,
        raised // (rounds + 1),
    )


def _seconds(side: Callable[[bytes], object], raws: Sequence[bytes]) -> float:
    begin = time.process_time()
    for raw in raws:
        side(raw)
    return time.process_time() - begin


def agreement(mails: Sequence[Compared]) -> Agreement:
    """Counted mail by mail."""
    differ = [mail for mail in mails if mail.differences]
    well_formed = [mail for mail in mails if not mail.flaws]
    return Agreement(
        len(mails), len(differ), len(well_formed), [mail.name for mail in well_formed if mail.differences]
    )


def corpora(directories: Sequence[Path]) -> list[tuple[str, list[tuple[str, bytes]]]]:
    """Each corpus as a whole, then by size."""
    found = [("tests/corpora", kept_mails(), KEPT)]
    found += [(str(directory), mails_in(directory), directory) for directory in directories]
    made = []
    for what, paths, root in found:
        mails = [(str(path.relative_to(root)), path.read_bytes()) for path in paths]
        if not mails:
            raise SystemExit(f"{what}: no mails; remedy: name a directory with a file for each mail")
        made.append((what, mails))
        for name, least, below in _CLASSES:
            if some := [mail for mail in mails if least <= len(mail[1]) < below]:
                made.append((f"... {name}", some))
    return made


def row(measured: Measured) -> list[str]:
    """A line of the table."""
    return [
        measured.what,
        f"{measured.mails:,}",
        f"{measured.mean_bytes / _KB:.1f}",
        f"{measured.ours_us:.1f}",
        f"{1e6 / measured.ours_us:,.0f}",
        f"{measured.stdlib_us:.1f}",
        f"{measured.ratio:.1f}",
        f"{measured.bare_us:.1f}",
        f"{measured.slowest_ms:.2f} ({measured.slowest})",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mails", type=int, default=1000, help="made-up ones of 18 KB mean")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--corpus", type=Path, action="append", default=[], help="a directory of mails, a file each"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    render = mixed().render
    made = [(f"mail {number}", b"".join(render(number))) for number in range(given.mails)]
    results = [
        measure(what, mails, given.rounds) for what, mails in [("made-up", made), *corpora(given.corpus)]
    ]
    compared = of_files(kept_mails(), KEPT)
    for directory in given.corpus:
        compared += of_files(mails_in(directory), directory)
    agreed = agreement(compared)
    header = ["mails", "number", "mean KB", "ours, us", "a second", "stdlib, us", "ratio", "fast-mail-parser alone, us", "slowest, ms"]  # fmt: skip
    title = f"Subject, sender and text (targets: {TARGET_PER_S:,} of the made-up ones a second, ratio {TARGET_RATIO:g})"
    apparatus.show(title, header, list(map(row, results)), Result(results, agreed), given.json)
    if not given.json:
        excepted = ", ".join(agreed.well_formed_differ)
        print(  # noqa: T201
            f"\nRead as the stdlib reads them: {agreed.mails - agreed.differ:,} of {agreed.mails:,} mails; "
            f"of {agreed.well_formed:,} well-formed ones all but {len(agreed.well_formed_differ)} ({excepted})"
        )


if __name__ == "__main__":
    main()
