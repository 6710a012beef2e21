"""From a seed to a whole schedule: its size, the form of the handler, what is done to whom."""

from random import Random

from fastmail_ingest.testing import Chaos, Mishap

TARGETS = ("sync", "sync", "threads", "concurrent", "batch", "concurrent_batch")


def form_of(seed: int) -> str:
    return TARGETS[seed % len(TARGETS)]


def chaos_of(seed: int) -> Chaos:
    rng = Random(f"short schedule {seed}")
    form = form_of(seed)
    settings: dict[str, dict[str, int]] = {}
    if form == "threads":
        settings["handler"] = {"threads": 4}
    elif "batch" in form:
        settings["handler"] = {"batch_size": 20}
    return Chaos(
        emails=rng.randrange(100, 251),
        kills=rng.choice((1, 1, 2, 2, 3)),
        disturbances=rng.choice((0, 1, 1, 2)),
        seed=seed,
        mishaps=_mishaps(rng),
        # A fault of the mail server may cost a second, its deadline: in some schedules only.
        mail_faults=0.03 if rng.random() < 0.15 else 0.0,
        ahead=80,
        hang_timeout_s=0.5,
        hold_s=(0.02, 0.2),
        patience_s=20.0,
        mailboxes=rng.choice((1, 2, 3)),
        settings=settings,
    )


def _mishaps(rng: Random) -> dict[Mishap, int]:
    kinds = (Mishap.RAISE_ONCE, Mishap.RAISE_ALWAYS, Mishap.DIE_ONCE, Mishap.DIE_ALWAYS)
    drawn = {rng.choice(kinds): rng.randrange(1, 3)} if rng.random() < 0.4 else {}
    # A hanging mail costs its timeout: rare, as every second counts here.
    return drawn | ({Mishap.HANG_ONCE: 1} if rng.random() < 0.08 else {})
