"""How many CPUs we may really use: affinity and container quotas count, not the host's cores."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cpus(root: Path = _CGROUP_ROOT, own: Path = _OWN_CGROUPS) -> int:
    """CPUs by scheduler affinity, lowered by the tightest CPU quota of our cgroups; at least 1.

    v2 quotas are in cpu.max, v1 quotas in cpu.cfs_quota_us and cpu.cfs_period_us (kernel
    documentation, admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst).
    """
    affinity = float(len(os.sched_getaffinity(0)))
    quotas = [quota for directory in _our_cgroups(root, own) if (quota := _quota(directory)) is not None]
    return max(1, math.ceil(min([affinity, *quotas])))


def _our_cgroups(root: Path, own: Path) -> Iterator[Path]:
    """Our cgroup and all its parents in each hierarchy: every one of them limits us.

    Inside a container the path may be the host's and not exist here; then the mount's top is ours.
    """
    for line in _text(own).splitlines():
        _, _, controllers_and_path = line.partition(":")
        controllers, _, path = controllers_and_path.partition(":")
        mounts = [root] if not controllers else [root / "cpu", root / "cpu,cpuacct"]
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in mounts:
            here = mount / path.lstrip("/")
            yield from (each for each in (here, *here.parents) if each == mount or mount in each.parents)


def _quota(directory: Path) -> float | None:
    """The CPUs that this cgroup may use; None if it has no limit, or is not there."""
    v2 = _text(directory / "cpu.max").split()
    v1 = [_text(directory / "cpu.cfs_quota_us").strip(), _text(directory / "cpu.cfs_period_us").strip()]
    for quota, period in (pair for pair in (v2, v1) if len(pair) == 2):
        if quota.isdigit() and period.isdigit() and int(period) > 0 and int(quota) > 0:
            return int(quota) / int(period)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
