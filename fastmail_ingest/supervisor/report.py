"""How a supervisor's run ended."""

from dataclasses import dataclass, field
from resource import struct_rusage


@dataclass
class Report:
    """How it ended."""

    reason: str = "asked to stop"
    failed: str = ""  # why a role failed; empty for an orderly end
    drain_s: float = 0.0
    killed: int = 0  # children that did not stop within the deadline
    restarts: int = 0
    complaints: list[str] = field(default_factory=list)  # last words of children that finished
    cpu_s: dict[str, float] = field(default_factory=dict)  # by role, of all its children together

    def spent(self, role: str, usage: struct_rusage) -> None:
        """A child of this role has ended, after so much CPU time."""
        self.cpu_s[role] = self.cpu_s.get(role, 0.0) + usage.ru_utime + usage.ru_stime
