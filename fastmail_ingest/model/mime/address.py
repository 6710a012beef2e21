"""A person or a list, as an address header names it."""

import email.utils

import msgspec


class Address(msgspec.Struct, frozen=True):
    """A mailbox from an address header: `address` is local@domain, `name` is decoded or empty."""

    name: str
    address: str

    def __str__(self) -> str:
        """As a header would have it, e.g. `Ada <ada@example.org>`, but not encoded."""
        return f"{_quoted(self.name)} <{self.address}>" if self.name else self.address

    @property
    def domain(self) -> str:
        """What is behind the last @, in lower case; empty without one."""
        return self.address.rpartition("@")[2].lower() if "@" in self.address else ""


def _quoted(name: str) -> str:
    """RFC 5322, 3.2.4: a name with any of these is a quoted string."""
    if any(each in name for each in '()<>[]:;@\\,."'):
        return f'"{email.utils.quote(name)}"'
    return name
