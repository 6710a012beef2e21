"""Properties that are read once."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

_T = TypeVar("_T")


class lazy(Generic[_T]):  # noqa: N801 - a decorator, like property
    """`functools.cached_property` without its lock (until Python 3.12): a tenth of what a mail takes."""

    def __init__(self, read: Callable[[Any], _T]) -> None:
        self._read = read
        self._name = read.__name__
        self.__doc__ = read.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> "lazy[_T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> _T: ...
    def __get__(self, instance: object, owner: type) -> Any:
        """The value, which then stands in the instance's own dictionary and is found there first."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._read(instance)
        return value
