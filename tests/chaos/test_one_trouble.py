"""One kind of trouble, again and again: what a mixed schedule meets once in a while is met here for sure."""

import pytest

from fastmail_ingest.testing import KILLS, Action, Chaos, run_chaos

# How often it happens while 1,500 mails are handled. What lasts for a moment happens less often.
TIMES = {
    Action.KILL_WORKER: 10,
    Action.KILL_PRODUCER: 20,
    Action.KILL_MAINTENANCE: 20,
    Action.KILL_SUPERVISOR: 4,
    Action.KILL_REDIS: 6,
    Action.STOP_WORKER: 6,
    Action.STOP_REDIS: 6,
    Action.CUT_CONNECTIONS: 50,
    Action.FLUSH_SCRIPTS: 100,
    Action.FILL_MEMORY: 6,
    Action.READ_ONLY: 4,
    Action.NO_REPLICAS: 6,
    Action.DROP_GROUPS: 20,
    Action.RELOAD: 6,
    Action.SCALE: 10,
}
ACTIONS = [pytest.param(each, id=each.name.lower()) for each in Action]


@pytest.mark.parametrize("action", ACTIONS)
def test_again_and_again(action: Action) -> None:
    kills, others = (TIMES[action], 0) if action in KILLS else (0, TIMES[action])
    chaos = Chaos(emails=1500, kills=kills, disturbances=others, actions={action: 1}, ahead=200)
    # Kills shall find the workers at work, and other trouble also while they wait for mail.
    report = run_chaos("handlers_under_chaos:sync" if kills else "noop", chaos)
    assert report.ok, report
    assert report.handled == 1500
    assert report.dead == {}
    assert sum(report.kills.values()) + sum(report.disturbances.values()) == TIMES[action]
