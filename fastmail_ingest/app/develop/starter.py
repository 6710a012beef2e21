"""`new-handler`: a handler to start from, its test, a sample mail, and a configuration if there is none."""

import importlib.util
import keyword
import sys
from pathlib import Path
from string import Template
from typing import Literal, TypeAlias

from fastmail_ingest.errors import ConfigError

Kind: TypeAlias = Literal["sync", "async", "batch"]
CONFIGURATION = "supervisor.toml"
_TEMPLATES = Path(__file__).parent / "templates"


def write_starter(name: str, directory: Path, kind: Kind) -> list[Path]:
    """Write what a new handler begins with; returns the files.

    Raises ConfigError, with nothing written, if one of them is there or `name` cannot be a module's.
    """
    _check_name(name)
    wanted = {
        directory / f"{name}.py": f"{kind}.py",
        directory / f"test_{name}.py": "test.py",
        directory / f"{name}.eml": "sample.eml",
    }
    for path in wanted:
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} is there already, nothing was written. remedy: another NAME")
    # Where it is found it would hide ours, or the other way round.
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise ConfigError(f"there is a module {name!r} already. remedy: another NAME")
    if not (directory / CONFIGURATION).exists():
        wanted[directory / CONFIGURATION] = CONFIGURATION
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, template in wanted.items():
            text = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
            # Exclusively: what came into being just now is not overwritten either.
            with path.open("x", encoding="utf-8") as file:
                file.write(Template(text).substitute(name=name))
    except OSError as error:
        raise ConfigError(
            f"{error.filename}: {error.strerror}. remedy: name a directory that you may write into"
        ) from error
    return list(wanted)


def _check_name(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii():
        raise ConfigError(
            f"{name!r} cannot be a module's name. remedy: letters, digits and _, as in mail_handler"
        )
