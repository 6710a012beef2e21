"""Coverage-guided fuzzing of all that an Email says; see scripts/fuzz. The parser in Rust runs unguided."""

import sys
from pathlib import Path
from random import Random

import atheris

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

with atheris.instrument_imports(include=["fastmail_ingest.model", "email"]):
    from support.corpora import KEPT
    from support.everything import email_of, read_everything

    from fastmail_ingest.testing.mails.bombs import BOMBS
    from fastmail_ingest.testing.mails.hostile import DAMAGES

FINDINGS = ROOT / "fuzz-findings"
# A quarter of a second is the aim for one mail; instrumented code and a busy machine take some times that.
SLOWEST_S = 10
MEMORY_MB = 1024
LENGTH_MAX_BYTES = 300_000
_OWN_SHARE = 0.5
_BOMB_SHARE = 0.05


def read(raw: bytes) -> None:
    """One mail, as a handler may read it."""
    read_everything(email_of(raw))


def mutate(raw: bytes, max_size: int, seed: int) -> bytes:
    """Our own kinds of damage in turns with libFuzzer's, which knows nothing of mail."""
    draw = Random(seed)  # noqa: S311 - libFuzzer wants the same for the same seed
    if draw.random() > _OWN_SHARE:
        return bytes(atheris.Mutate(raw, max_size))
    damages = BOMBS if draw.random() < _BOMB_SHARE else DAMAGES
    return draw.choice(damages)(raw, draw)[:max_size]


def main() -> None:
    """`fuzz_email.py [SECONDS [FILE ...]]`."""
    seconds, files = int(sys.argv[1]) if len(sys.argv) > 1 else 60, sys.argv[2:]
    learned = FINDINGS / "learned"
    learned.mkdir(parents=True, exist_ok=True)
    words = [
        sys.argv[0], f"-timeout={SLOWEST_S}", f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={FINDINGS}/",
    ]  # fmt: skip
    if files:
        words += ["-runs=1", *files]
    else:
        words += [f"-max_total_time={seconds}", f"-max_len={LENGTH_MAX_BYTES}", "-print_final_stats=1"]
        words += [str(learned), str(KEPT)]
    atheris.Setup(words, read, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
