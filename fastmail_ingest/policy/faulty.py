"""What an exception's class says: the names it answers to, and whether they speak of a dependency."""

from collections.abc import Container, Iterator

# Kinds of OSError that speak of one file, not of what all mails need.
_OF_ONE_FILE = frozenset({"FileNotFoundError", "FileExistsError", "IsADirectoryError", "NotADirectoryError"})


def names_of(error: BaseException) -> Iterator[str]:
    """The names of an exception's class and of its bases, the most specific class first.

    Each class answers to its qualified name (`requests.exceptions.Timeout`), to those that leave out inner
    modules, for libraries export their classes further up (`requests.Timeout`), and to its bare name.
    """
    for kind in type(error).__mro__:
        module = kind.__module__
        while module:
            yield f"{module}.{kind.__qualname__}"
            module = module.rpartition(".")[0]
        yield kind.__name__


def unwrapped(error: BaseException) -> BaseException:
    """The one exception in a group of one: a TaskGroup wraps what a task raised, and means just that."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def speaks_of_a_dependency(error: BaseException, names: Container[str]) -> bool:
    """Whether `error` says that something the handler depends on is down, not that the mail is bad.

    That is so if its class, or a base of it, is among `names` (bare or qualified). That a file is missing, or
    in the way, speaks of a dependency only if that very class is.
    """
    for name in names_of(unwrapped(error)):
        if name in names:
            return True
        if name in _OF_ONE_FILE:
            return False
    return False
