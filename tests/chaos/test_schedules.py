"""Two hundred short schedules. One that fails can be run again alone: pytest tests/chaos -k seed117."""

import pytest
from chaos.schedules import chaos_of, form_of
from support.chaos_mail import DovecotMail

from fastmail_ingest.testing import Mishap, run_chaos

SEEDS = range(100, 300)  # three digits each: -k seed117 names one of them
ON_DOVECOT = SEEDS[9::10]


def handler_of(seed: int) -> str:
    form = form_of(seed)
    return f"handlers_under_chaos:{'sync' if form == 'threads' else form}"


def check(report, chaos) -> None:
    assert report.ok, f"seed{chaos.seed}: {chaos}\n{report}"
    buried = sum(chaos.mishaps.get(mishap, 0) for mishap in (Mishap.RAISE_ALWAYS, Mishap.DIE_ALWAYS))
    assert sum(report.dead.values()) == buried, report
    assert report.handled == chaos.emails - buried - report.vanished, report


@pytest.mark.parametrize("seed", [s for s in SEEDS if s not in ON_DOVECOT], ids="seed{}".format)
def test_whatever_happens_every_mail_is_handled(seed: int) -> None:
    chaos = chaos_of(seed)
    check(run_chaos(handler_of(seed), chaos), chaos)


@pytest.mark.dovecot
@pytest.mark.parametrize("seed", ON_DOVECOT, ids="seed{}".format)
def test_and_with_a_mail_server_of_the_world(seed: int, dovecot) -> None:
    chaos = chaos_of(seed)
    check(run_chaos(handler_of(seed), chaos, mail=lambda chaos: DovecotMail(dovecot, chaos)), chaos)
