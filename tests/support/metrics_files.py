"""Reading what processes have counted, and playing such processes."""

import os
import traceback
from collections.abc import Callable, Collection
from pathlib import Path

from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from fastmail_ingest.telemetry import process_name
from fastmail_ingest.telemetry.exposition import Exposition


def scraped(directory: Path, living: Collection[int] = ()) -> dict[str, float]:
    """Every sample by its name and labels, as a scraper gets it."""
    body, _ = Exposition(directory, lambda: frozenset(living), []).render("")
    return samples_of(body)


def samples_of(body: bytes) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def in_child(
    work: Callable[[], object], generation: int | None = None, expected: Collection[int] = (0,)
) -> int:
    """Do something in a forked process, which is gone when this returns; returns its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if generation is not None:
                process_name.take(generation)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in expected
    return code


def count_once(name: str, times: int = 1) -> None:
    Counter(name, "counted", registry=None).inc(times)


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
