"""What dead processes counted, added up in one place, so that neither files pile up nor a counter falls.

The sums are in a directory `dead-N`, beside the names of those whose counts are in them. It is made whole
under another name and renamed: that one step is when their own files cease to count. Whenever we die, what is
left is removed at the next time, and counts once.
"""

import json
import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from prometheus_client.mmap_dict import MmapedDict

from fastmail_ingest.telemetry.exemplars import SUFFIX
from fastmail_ingest.telemetry.process_name import is_dead
from fastmail_ingest.telemetry.room import reserve

_log = logging.getLogger(__name__)

_SUMS = "dead-"
_UNFINISHED = "unfinished-"
_ABSORBED = "absorbed.json"
_READINGS_MAX = 50  # each because somebody died and was added up meanwhile

_T = TypeVar("_T")
Living: TypeAlias = Callable[[], AbstractSet[int]]
"""Asked for the generations of all living children, see `process_name`."""
Values: TypeAlias = dict[str, tuple[float, float]]
"""By the keys of prometheus_client: value, and when a gauge that shows the most recent was set."""


class _Own(NamedTuple):
    """A file in which a process keeps one kind of its metrics: counter, histogram, gauge_max, ..."""

    path: Path
    kind: str
    process: str


class _Sums(NamedTuple):
    """The newest sums: their number (0 if there are none yet), and whose counts are in them."""

    number: int
    path: Path
    absorbed: frozenset[str]


def absorb(directory: Path, living: Living) -> int:
    """Add up what the dead counted and remove their files; returns how many processes that were.

    Only one process may do so at a time. Raises OSError if there is no room for the sums: then all is as it
    was.
    """
    sums = _newest(directory)
    _clear_up(directory, sums)
    files = list(_own_files(directory))
    alive = living()  # not before: whoever has begun since then would count as dead
    dead = [file for file in files if is_dead(file.process, alive)]
    if not dead:
        return 0
    names = sorted({file.process for file in dead})
    unfinished = directory / f"{_UNFINISHED}{sums.number + 1}"
    unfinished.mkdir(mode=0o700)
    for kind, paths in _by_kind(sums, dead).items():
        _write(unfinished / f"{kind}_dead.db", _added_up(kind, paths))
    (unfinished / _ABSORBED).write_text(json.dumps(names))
    unfinished.rename(directory / f"{_SUMS}{sums.number + 1}")
    _clear_up(directory, _newest(directory))
    return len(names)


def read(directory: Path, living: Living, reader: Callable[[list[Path]], _T]) -> _T:
    """Call `reader` with files that hold every count once, again if they have changed meanwhile.

    What a dead process alone could say, as how full it is, is left out.
    """
    for _ in range(_READINGS_MAX):
        try:
            sums = _newest(directory)
            found = reader([*sums.path.glob("*.db"), *_living_files(directory, sums, living)])
            if _newest(directory).number == sums.number:
                return found
        except FileNotFoundError:
            continue
    raise FileNotFoundError(f"{directory}: it changes faster than it can be read")


def values_in(path: Path) -> Values:
    """What is in a file of metrics; nothing if somebody has broken it."""
    try:
        entries = list(MmapedDict.read_all_values_from_file(str(path)))  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        raise
    except Exception as error:
        _log.warning("metrics in %s cannot be read and are left out: %s", path.name, error)
        return {}
    return {key: (value, at) for key, value, at, _ in entries}


def newest_sums(directory: Path) -> Path:
    """The directory of what the dead have counted; it may be gone when you read it."""
    return _newest(directory).path


def _living_files(directory: Path, sums: _Sums, living: Living) -> Iterator[Path]:
    files = list(_own_files(directory))
    alive = living()
    for path, kind, process in files:
        counts = process not in sums.absorbed and path.stat().st_size > 0
        if counts and not (_ends_with_its_process(kind) and is_dead(process, alive)):
            yield path


def _ends_with_its_process(kind: str) -> bool:
    return kind.startswith("gauge_live") or kind == "gauge_all"


def _own_files(directory: Path) -> Iterator[_Own]:
    for path in directory.glob("*.db"):
        kind, _, process = path.stem.rpartition("_")
        if kind:
            yield _Own(path, kind, process)


def _newest(directory: Path) -> _Sums:
    number = max((_number(path) for path in directory.glob(f"{_SUMS}*")), default=0)
    path = directory / f"{_SUMS}{number}"
    return _Sums(number, path, frozenset(json.loads((path / _ABSORBED).read_text()) if number else ()))


def _number(sums: Path) -> int:
    return int(sums.name.removeprefix(_SUMS))


def _clear_up(directory: Path, sums: _Sums) -> None:
    """Remove what is counted in the sums, or was never finished."""
    for path in directory.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path)
    for file in list(_own_files(directory)):
        if file.process in sums.absorbed:
            file.path.unlink(missing_ok=True)
    for process in sums.absorbed:
        (directory / f"{process}{SUFFIX}").unlink(missing_ok=True)
    for path in directory.glob(f"{_SUMS}*"):
        if _number(path) < sums.number:
            shutil.rmtree(path)


def _by_kind(sums: _Sums, dead: Iterable[_Own]) -> dict[str, list[Path]]:
    """The files to add up: of the sums until now, and of the dead."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sums.path.glob("*.db"):
        found[path.stem.removesuffix("_dead")].append(path)
    for file in dead:
        # One of no size: its process was killed as soon as it had made it.
        if not _ends_with_its_process(file.kind) and file.path.stat().st_size:
            found[file.kind].append(file.path)
    return found


def _added_up(kind: str, paths: Iterable[Path]) -> Values:
    total: Values = {}
    for path in paths:
        for key, value in values_in(path).items():
            total[key] = _together(kind, total[key], value) if key in total else value
    return total


def _together(kind: str, one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    if kind == "gauge_min":
        return min(one, other)
    if kind == "gauge_max":
        return max(one, other)
    if kind == "gauge_mostrecent":
        return max(one, other, key=lambda value: value[1])
    return one[0] + other[0], 0.0


def _write(path: Path, values: Values) -> None:
    reserve(path, 8 + sum(4 + len(key.encode()) + 8 + 16 for key in values))
    file = MmapedDict(str(path))  # type: ignore[no-untyped-call]
    try:
        for key, (value, at) in values.items():
            file.write_value(key, value, at)  # type: ignore[no-untyped-call]
    finally:
        file.close()  # type: ignore[no-untyped-call]
