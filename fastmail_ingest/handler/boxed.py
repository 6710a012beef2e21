"""The handlers in the box, each made from its section of the configuration."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fastmail_ingest.config import Config
from fastmail_ingest.handler import builtin

Make = Callable[[Config], Callable[..., object]]
"""Makes a handler; imports what it needs only now, and raises HandlerLoadError if that is not installed."""

BOX: Mapping[str, Make] = MappingProxyType({"noop": lambda _: builtin.noop, "log": lambda _: builtin.log})
