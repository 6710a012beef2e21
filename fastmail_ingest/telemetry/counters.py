"""The numbers that each child counts in its slot of the shared memory."""

from enum import IntEnum


class Counter(IntEnum):
    """Names for the counters of a slot; times are nanoseconds of time.monotonic_ns()."""

    TAKEN = 0  # entries read from the stream
    DONE = 1
    DELAYED = 2
    DEAD = 3
    IGNORED = 4  # settled too late: they had been put back
    PUT_BACK = 5
    FETCHED = 6
    APPENDED = 7
    FETCHED_BYTES = 8
    FIRST_WORK_NS = 9  # first fetch command, or first entry taken
    LAST_SETTLE_NS = 10
    LATENCY_SUM_US = 11  # from fetched to settled
    CLIENT_ID = 12  # of the connection that reads from the stream
    BACKLOG = 13  # gauges of maintenance
    WAITING_RETRY = 14
    DEAD_LETTERS = 15
    PROMOTED = 16
    PRIVATE_KIB = 17  # memory of this process that nobody shares
    BATCH_SIZE = 18
    SOURCE_FAILURES = 19
    COUNTED = 20  # rounds in which maintenance set its gauges
    ALIVE_NS = 21  # last sign of life of the process' own loop; 0 if it never gave one
    HANDLER_BREAKER = 22  # 0 closed, 1 open, 2 half-open
    REDIS_BREAKER = 23
    UNREAD_SINCE_NS = 24  # since when there always was an entry that no worker had been given; 0 if none
    ACCOUNTS_OPEN = 25  # accounts that are suspended, resting, or do not answer
    SILENT_SINCE_NS = 26  # since when a mail server owes an answer, the longest; 0 if none does
    SILENT_MAILBOX = 27  # of that one: its number among all that are configured, from 1 on
    SILENT_CONNECTIONS = 28
