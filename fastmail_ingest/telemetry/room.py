"""Room for the files of prometheus_client, taken before they are mapped into memory.

A page of a mapped file for which its file system has no room ends the process that touches it (SIGBUS,
mmap(2)). prometheus_client takes the size of a file that it finds for what it may use.
"""

import os
from pathlib import Path


def reserve(path: Path, size: int) -> None:
    """Make a file of so many bytes, which its file system keeps for it. Raises OSError if it cannot."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)
