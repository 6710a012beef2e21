"""The modules that are the user's own: where and which they are, and how they are imported anew."""

import importlib
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path
from types import ModuleType

_PACKAGE = __name__.partition(".")[0]
# What is installed may lie below the directory in which we are started (.venv), and is not the user's.
_STDLIB = Path(sysconfig.get_path("stdlib"))
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def search_paths(config_path: Path | None) -> list[Path]:
    """Where a handler's module is looked for before the installed packages."""
    here = Path.cwd()
    beside = config_path.absolute().parent if config_path is not None else here
    return [here] if beside == here else [here, beside]


@contextmanager
def imported_anew(targets: Sequence[str], search_paths: Sequence[Path]) -> Iterator[None]:
    """Within it, imports read the user's modules again; if it raises, all is as it was before.

    All of them and not only the handler's: a module that stayed would go on with the old ones.
    """
    previous = own_modules(targets, search_paths)
    for name in previous:
        del sys.modules[name]
    importlib.invalidate_caches()  # a file that was made just now must be seen
    try:
        yield
    except BaseException:
        for name in own_modules(targets, search_paths):
            del sys.modules[name]
        sys.modules.update(previous)
        raise


def own_modules(targets: Sequence[str], search_paths: Sequence[Path]) -> dict[str, ModuleType]:
    """The imported modules that are the user's, by name: those of the targets' packages, wherever they are,
    and those below the search paths.
    """
    tops = {target.partition(":")[0].partition(".")[0] for target in targets if ":" in target} - {_PACKAGE}
    named = {target.partition(":")[0] for target in targets if ":" in target}
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name in named
        or (top := name.partition(".")[0]) in tops
        or (top not in (_PACKAGE, "__main__") and _is_beside(module, search_paths))
    }


def _is_beside(module: ModuleType, search_paths: Sequence[Path]) -> bool:
    return any(
        path.is_relative_to(beside) and not path.is_relative_to(_STDLIB) and _INSTALLED.isdisjoint(path.parts)
        for path in places(module)
        for beside in search_paths
    )


def places(module: ModuleType) -> list[Path]:
    """Where a module's source is, or where the folders of a package without __init__.py are."""
    # getattr: anything may stand in sys.modules.
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return [Path(file)] if file.endswith(tuple(SOURCE_SUFFIXES)) else []
    return [Path(folder) for folder in getattr(module, "__path__", ()) if isinstance(folder, str)]
