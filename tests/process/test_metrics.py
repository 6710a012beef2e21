"""The metrics of a real supervisor: exact, whatever dies, and gone without a trace at the end."""

import os
import re
import signal

from support.scraper import Scraper
from support.waiting import alive, wait_until

from fastmail_ingest.telemetry.catalogue import CATALOGUE

# The first call for some mails waits to be killed; all else is done at once, and so counted at once, as the
# loop of an async handler goes on.
STICKY = """
    import asyncio
    from prometheus_client import Counter, Gauge, Histogram

    CALLS_BEGUN = Counter("calls_begun", "own", ["attempt"])
    SIZES = Histogram("sizes", "own", buckets=(10, 100000))
    WORKING = Gauge("working", "own", multiprocess_mode="livesum")

    async def handle(email):
        WORKING.set(1)
        CALLS_BEGUN.labels(min(email.attempt, 2)).inc()
        SIZES.observe(email.size)
        note(email)
        if email.attempt == 1 and int(email.id.rpartition(":")[2]) % 100 == 50:
            await asyncio.sleep(600)
"""

QUICK = """
    from prometheus_client import Counter

    OWN = Counter("calls", "own")

    def handle(email):
        OWN.inc()
        note(email)
"""


ALIVE = 5  # two workers, producer, maintenance, and the supervisor itself


def kill(pids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        os.kill(pid, number)
    wait_until(lambda: not any(map(alive, pids)), "they are gone")


def test_counts_are_exact_though_workers_are_killed(house, simulated) -> None:
    scraper = Scraper(house, STICKY)
    kills, killed = 5, 0
    for number in range(1, kills + 1):
        simulated.add(100)
        scraper.wait_for("emails_processed_total", 100.0 * number - 1)
        scraper.wait_for("emails_in_hand", 1.0)
        pids = scraper.run.children("worker")
        kill(pids)
        killed += len(pids)
        scraper.wait_for("emails_processed_total", 100.0 * number)
    total = 100.0 * kills
    found = scraper.look()
    assert found["emails_fetched_total{account=sim}"] == total
    assert found["emails_produced_total{account=sim}"] == total
    assert found["duplicates_total{account=sim}"] == 0
    assert found["emails_failed_total{reason=killed_worker}"] == kills
    assert found["orphans_claimed_total"] >= kills
    assert found["processing_latency_seconds_count"] == total
    assert (
        sum(value for name, value in found.items() if name.startswith("end_to_end_latency_seconds_count"))
        == total
    )
    # The handler's own.
    assert found["calls_begun_total{attempt=1}"] == total
    assert found["calls_begun_total{attempt=2}"] == kills
    assert found["sizes_count"] == total + kills
    wait_until(lambda: len(scraper.processes()) == ALIVE, "the files of the dead are added up")
    wait_until(lambda: len(list(scraper.directory().glob("dead-*"))) == 1, "into one place")
    scraper.wait_for("process_deaths_total{role=worker}", float(killed))
    assert 1.0 <= scraper.value("working") <= 2.0
    scraper.end()


def test_counts_are_exact_while_workers_wear_out_and_maintenance_is_killed(house, simulated) -> None:
    """And the process that is asked is killed, too."""
    scraper = Scraper(house, QUICK, worker="procs = 2\nmax_mails = 50")
    for number in range(1, 6):
        simulated.add(200)
        scraper.run.wait_for_calls(200 * number - 100)
        kill(scraper.run.children("maintenance"))
        kill(scraper.run.children("admin"))
        scraper.wait_for("emails_processed_total", 200.0 * number)
        scraper.wait_for("calls_total", 200.0 * number)
    scraper.wait_for("process_deaths_total{role=maintenance}", 5.0)
    assert scraper.value("process_starts_total{role=worker}") > 10
    assert scraper.value("process_deaths_total{role=worker}") == 0
    wait_until(lambda: len(scraper.processes()) == ALIVE, "the files of the dead are added up")
    scraper.end()


def test_a_reload_may_change_a_handlers_own_metrics(house, simulated) -> None:
    scraper = Scraper(house, QUICK)
    simulated.add(50)
    scraper.wait_for("calls_total", 50.0)
    source = scraper.run.directory / "handler_under_test.py"
    source.write_text(source.read_text().replace("OWN.inc()", "OWN.inc()\n    MORE.inc()"))
    os.kill(scraper.run.pid, signal.SIGHUP)
    wait_until(
        lambda: "not reloaded" not in scraper.run.text() and "reloaded" in scraper.run.text(), "it reloads"
    )
    more = 'OWN = Counter("calls", "own")\nMORE = Counter("more", "added")'
    source.write_text(source.read_text().replace('OWN = Counter("calls", "own")', more))
    os.kill(scraper.run.pid, signal.SIGHUP)
    scraper.wait_for("more_total", 0.0)
    before = scraper.run.children("worker")
    wait_until(lambda: scraper.value("active_workers") == 2.0, f"two at work, {before}")
    simulated.add(50)
    scraper.wait_for("calls_total", 100.0)
    scraper.wait_for("emails_processed_total", 100.0)
    scraper.end()


def test_the_page_has_what_the_catalogue_names(house, simulated) -> None:
    """But for what only an account with a limit or with tokens has, who makes backups, and a server that hangs."""
    scraper = Scraper(house, "def handle(email):\n    raise ValueError")
    simulated.add(1)
    names = {definition.name for definition in CATALOGUE} - {
        "account_daily_limit_bytes",
        "backup_timestamp_seconds",
        "mailbox_unanswered_seconds",
        "token_expiry_timestamp_seconds",
        "token_revoked",
    }

    def shown() -> set[str]:
        labels = (name.partition("{")[0] for name in scraper.look())
        return {re.sub("_(total|count|sum|bucket)$", "", name) for name in labels}

    wait_until(lambda: shown() == names, f"{names} are shown")
    scraper.end()


SLOW_ONE = """
    import time
    from pathlib import Path

    def handle(email):
        if email.id.endswith(":5"):
            Path("slow").write_text(email.correlation_id)
            time.sleep(0.3)
"""


def test_a_slow_mail_can_be_looked_up_by_its_trace_id(house, simulated) -> None:
    scraper = Scraper(house, SLOW_ONE)
    simulated.add(20)
    scraper.wait_for("emails_processed_total", 20.0)
    slow = (scraper.run.directory / "slow").read_text()
    found = scraper.exemplars()
    assert {
        le for (name, le), trace_id in found.items() if name.startswith("processing") and trace_id == slow
    } == {"0.5"}
    # Those behind it have waited as long.
    assert ("end_to_end_latency_seconds_bucket", "0.5") in found
    scraper.end()


def test_workers_come_and_go_by_signal(house, simulated) -> None:
    scraper = Scraper(house, QUICK)
    scraper.wait_for("active_workers", 2.0)
    for number, count in ((signal.SIGTTIN, 3), (signal.SIGTTIN, 4), (signal.SIGTTOU, 3), (signal.SIGTTOU, 2)):
        os.kill(scraper.run.pid, number)
        scraper.wait_for("active_workers", float(count))
        scraper.wait_for("processes_wanted{role=worker}", float(count))
        simulated.add(50)
    scraper.wait_for("emails_processed_total", 200.0)
    scraper.end()


def test_a_stopped_redis_takes_only_what_it_alone_knows(house, simulated, redis_server) -> None:
    scraper = Scraper(house, QUICK)
    simulated.add(50)
    scraper.wait_for("emails_processed_total", 50.0)
    scraper.wait_for("dlq_depth", 0.0)
    scraper.wait_for(
        "mailbox_freshness_seconds{account=sim,mailbox=INBOX}", lambda seconds: 0 <= seconds < 600
    )
    assert scraper.value("redis_up") == 1.0
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    scraper.wait_for("redis_up", 0.0)
    found = scraper.look()
    assert found["emails_processed_total"] == 50.0
    assert found["active_workers"] == 2.0
    assert found["process_cpu_seconds_total{role=worker}"] > 0
    names = (
        "stream_depth",
        "dlq_depth",
        "retries_waiting",
        "mailbox_freshness",
        "account_standing",
        "redis_memory",
    )
    assert not [name for name in found if name.startswith(names)]
    os.kill(redis_server.process.pid, signal.SIGCONT)
    scraper.wait_for("redis_up", 1.0)
    scraper.wait_for("dlq_depth", 0.0)
    scraper.end()


def test_nothing_stays_behind(house, simulated) -> None:
    """Not even of a supervisor that was killed, when the next one starts."""
    killed = Scraper(house, QUICK)
    killed.wait_for("active_workers", 2.0)
    left = killed.directory()
    children = killed.run.children()
    os.kill(killed.run.pid, signal.SIGKILL)
    killed.run.process.wait()
    wait_until(lambda: not any(map(alive, children)), "its children end with it")
    assert left.exists()
    second = Scraper(house, QUICK)
    second.wait_for("active_workers", 2.0)
    own = second.directory()
    assert own != left
    assert not left.exists()
    second.end()
    assert not own.exists()


def test_a_run_that_ends_by_itself_leaves_nothing(house, simulated, tmp_path) -> None:
    simulated.add(20)
    run = house(QUICK).start("--once")
    assert run.wait() == 0
    assert len(run.handled()) == 20
    run = house(QUICK + "\n    raise RuntimeError('broken')\n")
    assert run.run() == 2
