"""The log of a real supervisor: each line a JSON object, each about the mail during which it was written."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from support.supervised import Supervised
from support.waiting import wait_until

JSON = 'level = "info"\nformat = "json"'
PREPARED = """

    import asyncio, logging
    from concurrent.futures import ThreadPoolExecutor
    from fastmail_ingest import batch_handler, log_scope
    log = logging.getLogger("shop")

    def tell(email, how):
        print(how, "printed", email.correlation_id)
        log.info("%s logged %s", how, email.correlation_id)
"""
SYNC = """
    def handle(email):
        tell(email, "sync")
        with ThreadPoolExecutor(1) as own:
            own.submit(within, email).result()
        note(email)

    def within(email):
        with log_scope(email):
            tell(email, "own thread")
"""
ASYNC = """
    async def handle(email):
        tell(email, "async")
        await asyncio.sleep(0.001)
        await asyncio.gather(below(email), asyncio.to_thread(tell, email, "to_thread"))
        note(email)

    async def below(email):
        await asyncio.sleep(0.001)
        tell(email, "task")
"""
BATCH = """
    @batch_handler
    def handle(emails):
        for email in emails:
            with log_scope(email):
                tell(email, "batch")
        log.info("whole batch")
        for email in emails:
            note(email)
"""
CASES = {
    "sync": (SYNC, "", {"sync", "own thread"}),
    "threads": (SYNC, "threads = 4", {"sync", "own thread"}),
    "async": (ASYNC, "", {"async", "task", "to_thread"}),
    "batch": (BATCH, "", {"batch"}),
}


def lines(run: Supervised) -> Iterator[dict[str, Any]]:
    for line in run.text().splitlines():
        yield json.loads(line)


@pytest.mark.parametrize("case", CASES)
def test_what_a_handler_logs_and_prints_carries_its_mail(house, simulated, case: str) -> None:
    body, threads, ways = CASES[case]
    simulated.add(30)
    handler = f'target = "handler_under_test:handle"\n{threads}'
    run = house(PREPARED + body, logging=JSON, handler=handler).start("--once")
    assert run.wait() == 0, run.text()
    told = [line for line in lines(run) if line["logger"] in {"shop", "stdout"}]
    whole = [line for line in told if line["message"] == "whole batch"]
    of_mails = [line for line in told if line["message"] != "whole batch"]
    assert Counter(line["message"].rpartition(" ")[0] for line in of_mails) == {
        f"{way} {how}": 30 for way in ways for how in ("printed", "logged")
    }
    for line in of_mails:
        assert line["message"].endswith(line["correlation_id"]), line
        assert (line["account"], line["mailbox"]) == ("sim", "INBOX")
        assert line["component"].startswith("worker-")
    assert len({line["correlation_id"] for line in of_mails}) == 30
    if case == "batch":
        assert any("correlation_id" not in line for line in whole)  # a batch of more than one mail
    assert next(lines(run))["component"] == "supervisor"


FAILS = """
    def handle(email):
        note(email)
        raise ValueError(email.id)
"""


def test_failures_that_repeat_are_counted_and_the_last_of_them_told_at_the_end(house, simulated) -> None:
    simulated.add(200)
    run = house(FAILS, logging=JSON, retry="attempts = 1", worker="procs = 1").start()
    run.wait_for_calls(200)
    wait_until(lambda: "dead letter now" in run.text(), "the first are told")
    assert run.stop() == 0
    dead = [line for line in lines(run) if line["logger"].endswith("judge")]
    told = [line for line in dead if "held_back" in line]
    assert (len(dead) - len(told), [line["held_back"] for line in told]) == (20, [180])
    assert told[0]["message"].startswith("… 180 more like this in the last ")
    assert all("correlation_id" in line for line in dead if line not in told)
    assert list(lines(run))[-1]["message"].startswith("stopped in ")


def test_a_line_of_a_producer_names_account_and_mailbox(house, simulated) -> None:
    run = house(logging=JSON, account='user = "u"\npassword = "p"\ntls = "off"\nmailboxes = ["Nowhere"]')
    assert run.start("--once").wait() != 0
    (refused,) = [line for line in lines(run) if line["level"] == "error"]
    assert (refused["component"], refused["account"], refused["mailbox"]) == ("producer-0", "sim", "Nowhere")
