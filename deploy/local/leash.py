"""Run a command that dies with its parent: `python leash.py SIGNAL PARENT_PID USER COMMAND...`.

A small program rather than a `preexec_fn`, which runs Python between fork and exec of a threaded
process and can deadlock there. It imports the standard library only and ends in `execv`, so the
process id stays and the parent sees the command itself. `USER` is `-` or the account to change to.
"""

import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def main(arguments: list[str]) -> None:
    """Change the user if asked, tie the process to its parent, become the command."""
    death_signal, parent, user, *command = arguments
    if user != "-":
        change_user(user)
    die_with_parent(int(death_signal), int(parent))
    # Python ignores these two, and an ignored signal stays ignored over exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606 - the command is the caller's own


def die_with_parent(death_signal: int, parent: int) -> None:
    """Ask the kernel for `death_signal` when the parent's thread ends; leave at once if it already has."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def change_user(name: str) -> None:
    """Give up root, keeping only the right to pass through folders that others may not enter.

    PostgreSQL refuses to run as root, yet a checkout or a venv may lie below a folder that only root
    can enter (/root, a test's temporary folder). One ambient capability spares changing their modes.
    """
    account = pwd.getpwnam(name)
    capability = _passing_capability()
    libc = ctypes.CDLL(None)
    os.setgroups([])
    os.setgid(account.pw_gid)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    if capability is not None:
        # access(2), by which initdb looks for the server, takes every capability from a user other than root
        # unless this is set.
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setuid(account.pw_uid)
    if capability is not None:
        bit = 1 << capability
        libc.capset(ctypes.byref(_Header(LINUX_CAPABILITY_VERSION_3, 0)), (_Data * 2)(_Data(bit, bit, bit)))
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _passing_capability() -> int | None:
    """The narrower of the two capabilities that this root has (containers often lack the first)."""
    if sys.platform != "linux":
        return None
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    effective = next(
        (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0
    )
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if effective >> capability & 1:
            return capability
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
