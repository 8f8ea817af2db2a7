"""Faults of the machine, for one child: a small disk, a quota, a read-only directory.

Mounts are made in a mount namespace of the child's own (in a user namespace, too, where it is
not root), and end with it. No command is needed, only the C library.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NEW_NAMESPACE: Final = 0x00020000
_NEW_USER: Final = 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _PRIVATE_ALL = 1, 32, 4096, (1 << 18) | (1 << 14)
_NOBODY: Final = 65534


def can_mount() -> bool:
    """Whether a child process can mount. Called in a child, which can mount afterwards."""
    try:
        _unshare()
    except OSError:
        return False
    return True


def small_disk(path: Path, kilobytes: int) -> None:
    """Mount an empty file system of this size at `path`."""
    _unshare()
    _mount("tmpfs", path, "tmpfs", 0, f"size={kilobytes}k")


def mount_read_only(path: Path) -> None:
    """Make what is at `path` read-only, for root, too."""
    _unshare()
    _mount(str(path), path, "", _BIND, "")
    _mount("none", path, "", _BIND | _REMOUNT | _READ_ONLY, "")


def limit_files(size: int) -> None:
    """Let no file of this process grow over `size` bytes, in place of a quota."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def lift_limit() -> None:
    """Take `limit_files` back."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def become_nobody(path: Path) -> None:
    """Become a user who is not root, so that permission bits apply, and who can reach `path`."""
    if os.geteuid() == 0:
        for above in path.parents:
            mode = above.stat().st_mode
            if not mode & 0o001:
                above.chmod(mode | 0o011)
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _checked(_LIBC.unshare(_NEW_NAMESPACE))
    else:
        _checked(_LIBC.unshare(_NEW_NAMESPACE | _NEW_USER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    # Keep the mounts of this process to itself.
    _mount("none", Path("/"), "", _PRIVATE_ALL, "")


def _mount(source: str, target: Path, kind: str, flags: int, data: str) -> None:
    arguments = (source.encode(), os.fsencode(target), kind.encode(), flags, data.encode())
    _checked(_LIBC.mount(*(arguments[:3]), ctypes.c_ulong(arguments[3]), arguments[4]))


def _checked(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
