"""A launcher: runs a program in namespaces of its own, with only the folders that it is given. Standard library only.

    python -I -S enclosure.py '{"read": ["/usr", ...], "write": "/tmp/x", "argv": [...], "env": {...}}'

      fork ── user, mount, network, process, IPC namespaces ── a new root of bind mounts, read-only ── pivot_root
           └─ a second user namespace, in which the program is user 1000 and can undo none of these ── exec

This is what bubblewrap does, for where there is none (namespaces(7), user_namespaces(7), pivot_root(2)). The mounts
of the first user namespace are locked for the second, so no process inside can look under them. When the launcher
dies, so does all that it started. Exit code 97 with a sentence on standard error: the system does not allow it.

    >>> FLAGS["rec"] == 0x4000
    True

Left out: system-call filters, limits of processors and memory (the caller watches).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWUTS = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x4000000
FLAGS = {"rdonly": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
FLAGS |= {"remount": 32, "bind": 4096, "rec": 16384, "private": 1 << 18}
DEVICES = ("null", "zero", "full", "random", "urandom")
REFUSED = 97
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _do(name: str, *arguments: Any) -> None:
    """Call a function of libc; raises `OSError` where it fails."""
    assert _libc is not None
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"{name} {arguments[1] if len(arguments) > 1 else ''}")


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    _do("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())


def enter_user_namespace(extra: int, uid: int) -> None:
    """A new user namespace in which whoever runs this is the user `uid`, with the further namespaces of `extra`."""
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    _do("unshare", NEWUSER | extra)
    for file, text in (
        ("setgroups", "deny"), ("uid_map", f"{uid} {outside_uid} 1"), ("gid_map", f"{uid} {outside_gid} 1"),
    ):  # fmt: skip
        with open(f"/proc/self/{file}", "w") as out:
            out.write(text)


def _locked_flags(path: str) -> int:
    """The flags that the mount under `path` has, which a read-only remount must repeat."""
    stat = os.statvfs(path).f_flag
    kept = ((os.ST_NOSUID, "nosuid"), (os.ST_NODEV, "nodev"), (os.ST_NOEXEC, "noexec"), (os.ST_NOATIME, "noatime"))
    flags = sum(FLAGS[name] for bit, name in kept if stat & bit)
    flags |= FLAGS["nodiratime"] if stat & os.ST_NODIRATIME else 0
    return flags | (FLAGS["relatime"] if stat & os.ST_RELATIME else 0)


def _bind(path: str, root: str, read_only: bool) -> None:
    target = root + path
    if os.path.islink(path):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.lexists(target):
            os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a").close()
    _mount(path, target, flags=FLAGS["bind"])
    if read_only:
        flags = FLAGS["bind"] | FLAGS["remount"] | FLAGS["rdonly"] | FLAGS["nosuid"] | _locked_flags(target)
        _mount("none", target, flags=flags)


def build_root(root: str, spec: dict[str, Any]) -> None:
    """A root with the folders of `spec` under their own names, and nothing else of this machine."""
    _mount("none", "/", flags=FLAGS["rec"] | FLAGS["private"])
    _mount("tmpfs", root, "tmpfs", FLAGS["nosuid"] | FLAGS["nodev"], "mode=755,size=64m")
    for path in sorted(spec["read"], key=len):
        _bind(path, root, read_only=True)
    for path in spec["hide"]:
        if os.path.isdir(root + path):
            _mount("tmpfs", root + path, "tmpfs", FLAGS["nosuid"] | FLAGS["nodev"] | FLAGS["rdonly"], "size=4k")
    for name, text in spec["files"].items():
        os.makedirs(os.path.dirname(root + name), exist_ok=True)
        with open(root + name, "w") as out:
            out.write(text)
    os.makedirs(root + "/dev", exist_ok=True)
    for device in DEVICES:
        open(f"{root}/dev/{device}", "a").close()
        _mount(f"/dev/{device}", f"{root}/dev/{device}", flags=FLAGS["bind"])
    os.makedirs(root + "/dev/shm", exist_ok=True)
    _mount("tmpfs", root + "/dev/shm", "tmpfs", FLAGS["nosuid"] | FLAGS["nodev"], "mode=1777,size=512m")
    os.makedirs(root + "/tmp", mode=0o1777, exist_ok=True)
    os.makedirs(root + "/proc", exist_ok=True)
    _mount("proc", root + "/proc", "proc", FLAGS["nosuid"] | FLAGS["nodev"] | FLAGS["noexec"])
    _bind(spec["write"], root, read_only=False)


def pivot(root: str) -> None:
    """Make `root` the root, and let the old one go."""
    assert _libc is not None
    old = root + "/.old"
    os.mkdir(old)
    number = PIVOT_ROOT.get(os.uname().machine)
    if number is None or _libc.syscall(number, root.encode(), old.encode()) != 0:
        raise OSError(ctypes.get_errno(), "pivot_root is not possible", root)
    os.chdir("/")
    _do("umount2", b"/.old", 2)
    os.rmdir("/.old")
    _mount("none", "/", flags=FLAGS["remount"] | FLAGS["bind"] | FLAGS["rdonly"] | FLAGS["nosuid"] | FLAGS["nodev"])


def main(spec: dict[str, Any]) -> int:
    """Run the program of `spec` enclosed; its exit code."""
    try:
        _do("prctl", PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        enter_user_namespace(NEWNS | NEWIPC | NEWNET | NEWPID | NEWUTS, 0)
        child = os.fork()
    except OSError as refusal:
        sys.stderr.write(f"no namespaces here: {refusal}\n")
        return REFUSED
    if child == 0:
        _inside(spec)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGKILL))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) % 256


def _inside(spec: dict[str, Any]) -> None:
    """The first process of the new namespaces: build the root, give up every right to change it, exec."""
    try:
        _do("prctl", PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        build_root(spec["root"], spec)
        pivot(spec["root"])
        enter_user_namespace(NEWNS, 1000)
        _do("prctl", PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0)
        os.chdir(spec["write"])
        program = os.fork()
        if program == 0:
            os.execve(spec["argv"][0], spec["argv"], spec["env"])
        os._exit(_first_process(program))
    except OSError as refusal:
        sys.stderr.write(f"no enclosure here: {refusal}\n")
        sys.stderr.flush()
        os._exit(REFUSED)


def _first_process(program: int) -> int:
    """Bury whatever dies in here until the program has ended; when the first process ends, the kernel ends the rest."""
    for number in (0, 1, 2):
        os.close(number)
    while True:
        pid, status = os.wait()
        if pid == program:
            return os.waitstatus_to_exitcode(status) % 256


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
