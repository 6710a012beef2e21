"""`supervise --reload`: a child that watches the user's files, and sends the supervisor a HUP on a change.

It looks by stat twice a second: some dozen files cost 0.1 ms a look, and that sees changes on shared
folders of containers and virtual machines, too, where inotify (so watchfiles) hears of none.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from fastmail_ingest.app.roles import STAGE_PRODUCER
from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.handler.modules import own_modules, places, search_paths
from fastmail_ingest.supervisor.role import Child, Role
from fastmail_ingest.telemetry.logs import in_child

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
_NAMED_MAX = 3
_NOT_WALKED = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules"})

Stamps: TypeAlias = dict[str, tuple[int, int, int]]
"""Of each file: time of change, size, inode."""


class Watch:
    """What is watched. `note` is called before each import, so that no change behind it is missed."""

    def __init__(self, current: Callable[[], Runtime], config_path: Path | None) -> None:
        self._current = current
        self._config_path = config_path.absolute() if config_path is not None else None
        self._noted: Stamps = {}
        self.note()

    def note(self) -> None:
        """Remember how the files are now."""
        self._noted = _look(self._places())

    def role(self) -> Role:
        """The watching child; each reload replaces it, and the successor knows the new modules."""
        return Role(
            "reload", STAGE_PRODUCER, lambda child: in_child("reload", lambda: self._run(child)),
            self._current().restart_policy, rolls=True,
        )  # fmt: skip

    def _places(self) -> list[tuple[Path, bool]]:
        targets = self._current().config.handler.targets
        found = set(_places(own_modules(targets, search_paths(self._config_path)).values()))
        if self._config_path is not None:
            found.add((self._config_path, False))
        packages = {place for place, deep in found if deep}
        return [(place, deep) for place, deep in found if packages.isdisjoint(place.parents)]

    def _run(self, child: Child) -> int:
        places = self._places()
        last = _look(places)
        seen = {path: self._noted.get(path, stamp) for path, stamp in last.items()}
        _log.info("watching %s", _names(seen))
        child.slot.ready()
        while True:
            time.sleep(LOOK_EVERY_S)
            now = _look(places)
            changed = [path for path in now.keys() | seen.keys() if now.get(path) != seen.get(path)]
            # Two looks alike: an editor, or git, is not in the middle of writing.
            if changed and now == last:
                _log.info("changed: %s", _names(changed))
                seen = now
                os.kill(os.getppid(), signal.SIGHUP)
            last = now


def _places(modules: Iterable[ModuleType]) -> Iterator[tuple[Path, bool]]:
    """The folders that the modules are in, and whether those below belong to it: so it is in a package."""
    for module in modules:
        for place in places(module):
            yield place if place.is_dir() else place.parent, hasattr(module, "__path__")


def _look(places: Iterable[tuple[Path, bool]]) -> Stamps:
    """All sources in the folders, imported or not: one that is not may be what an import failed at.

    A place may be a file, too.
    """
    found: Stamps = {}
    for place, deep in places:
        for folder, below, names in os.walk(place):
            below[:] = [name for name in below if deep and name not in _NOT_WALKED and name[0] != "."]
            for name in filter(_is_source, names):
                _note(found, os.path.join(folder, name))
        if place.is_file():
            _note(found, str(place))
    return found


def _is_source(name: str) -> bool:
    """Tests are none: whoever writes one wants no reload."""
    return name.endswith(".py") and not name.startswith(("test_", ".")) and name != "conftest.py"


def _note(found: Stamps, path: str) -> None:
    with suppress(OSError):  # it is just being replaced
        stat = os.stat(path)
        found[path] = stat.st_mtime_ns, stat.st_size, stat.st_ino


def _names(paths: Iterable[str]) -> str:
    names = sorted(os.path.basename(path) for path in paths)
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
