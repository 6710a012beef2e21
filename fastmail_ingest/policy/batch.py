"""How many entries a worker should read at once."""

import msgspec

GROWTH = 2.0  # a batch at most doubles: one lucky measurement must not make a hoard

# Two batches may be before a live mail: one in hand, one read ahead.
OLD_MAIL_SHARE = 0.1


class BatchAim(msgspec.Struct, frozen=True):
    """What a worker may hold: about `target_s` of work, `bytes_max` of mail, `count_max` entries."""

    target_s: float
    bytes_max: int
    count_max: int


def for_old_mail(aim: BatchAim) -> BatchAim:
    """The aim while old mail is imported: less in hand, since live mail has to wait until it is done."""
    return msgspec.structs.replace(aim, target_s=aim.target_s * OLD_MAIL_SHARE)


def next_count(aim: BatchAim, count: int, handled: int, elapsed_s: float, bytes_read: int) -> int:
    """The size of the next batch, after `handled` entries of `bytes_read` took `elapsed_s` to handle.

    `count` is the size that was asked for. A batch that came back short says little about load but
    all about cost, so growth is measured from what was asked for, never from what came.
    """
    if handled <= 0:
        return count
    by_time = aim.target_s * handled / max(elapsed_s, 1e-6)
    by_bytes = aim.bytes_max * handled / max(bytes_read, 1)
    wanted = min(by_time, by_bytes, count * GROWTH, float(aim.count_max))
    return max(1, int(wanted))
