"""The handlers of the schedules, one of each form. Each takes its time, so that a kill finds it at work."""

import asyncio
import time

from fastmail_ingest import Email, Reject, batch_handler

_WORK_S = 0.001


def sync(email: Email) -> None:
    time.sleep(_WORK_S)


async def concurrent(email: Email) -> None:
    await asyncio.sleep(5 * _WORK_S)


@batch_handler
def batch(emails: list[Email]) -> None:
    time.sleep(_WORK_S * len(emails))


@batch_handler
async def concurrent_batch(emails: list[Email]) -> None:
    await asyncio.sleep(_WORK_S * len(emails))


def rejecting(email: Email) -> None:
    """Rejects each tenth mail of a mailbox."""
    if email.uid % 10 == 0:
        raise Reject("not for us")
