"""What processes used, read from /proc, and what machine this is."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil

_TICKS = os.sysconf("SC_CLK_TCK")


def _times(pid: int) -> list[int]:
    """user, system, and the same of its ended children; all zero for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return [0, 0, 0, 0]
    return [int(field) for field in text.rpartition(")")[2].split()[11:15]]


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, all its threads."""
    user, system, *_ = _times(pid)
    return (user + system) / _TICKS


def kernel_seconds(pid: int) -> float:
    """System time of one process: the part of its CPU that its calls into the kernel took."""
    return _times(pid)[1] / _TICKS


def family_cpu_seconds(pid: int) -> float:
    """The same of a process and its children, ended ones included: PostgreSQL with its backends."""
    children = sum(cpu_seconds(child.pid) for child in psutil.Process(pid).children(recursive=True))
    return sum(_times(pid)) / _TICKS + children


def resident_mb(pid: int) -> tuple[float, float]:
    """Resident memory now and at its highest, in MB of 10^6 bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    fields = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    now, highest = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
    return now, highest


def busy_seconds() -> float:
    """What all cores together spent on anything but waiting, since the machine started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def load_average() -> float:
    """Of the last minute."""
    return os.getloadavg()[0]


def describe() -> dict[str, str | int | float]:
    """For the head of a report. No names: of a machine only its size matters."""
    return {
        "cores": os.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average_before": round(load_average(), 1),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
