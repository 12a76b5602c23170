"""mutate.py SEED COUNT: runs ocirt-init on plans that have been changed by chance, and prints one line for each that it
does not survive: "SIGNAL PLAN", the plan in hexadecimal, or "hang PLAN".

It is a program of its own because it gives up everything first: it is nobody, root of a user namespace in which there
is nothing of the host but read-only, so that no plan can do harm.
"""

from __future__ import annotations

import ctypes
import os
import random
import select
import signal
import sys

from ocirt._shim import ffi, lib
from ocirt.launch.walk import seal_init
from ocirt.launch.wire import encode
from ocirt.plan.op import Op, Source

NOBODY = 65534
#: Where everybody may write.
SHARED = ("/tmp", "/var/tmp", "/dev/shm")
PATIENCE_MS = 20_000
OP_SIZE, HEADER_SIZE = ffi.sizeof("struct ocirt_op"), ffi.sizeof("struct ocirt_plan")

#: Ops that may end a process by a signal, or run a program, where they do what they should.
LEFT_OUT = {
    getattr(lib, "OCIRT_" + name) for name in ("RLIMIT", "RAISE_RLIMIT", "SECCOMP", "EXECVE", "HOOK", "SCHEDULER")
}

PLANS = [
    [Op("UMASK", "umask", a=0o22), Op("SETSID", "session"), Op("SYNC", "wait", a=2), Op("WAIT_START", "wait")],
    [
        Op("ROOTFS", "root", path="/tmp", text="/tmp", a=1 << 18),
        Op("MKDIR", "directory", path="/a/b/../c", mode=0o755),
        Op("MOUNT", "mount", path="/a", text="tmpfs", data=b"tmpfs\0size=64k\0", a=2, flags=("INHERIT_MODE",)),
        Op("SYMLINK", "link", path="/a/link", text="/nowhere", flags=("REPLACE",)),
        Op("MKDIR", "directory", path="/a/link/x", mode=0o755),
        Op("DEVICE", "node", path="/a/node", mode=0o10666),
        Op("READONLY_PATH", "readonly", path="/a"),
        Op("MASK_PATH", "mask", path="/a"),
    ],
    [
        Op("JOIN_CGROUP", "join", sources=(Source("cgroup-entry"),)),
        Op("HOSTNAME", "hostname", text="name"),
        Op("SYSCTL", "sysctl", path="kernel/domainname", text="name"),
        Op("LSM_LABEL", "label", path="exec", text="label"),
        Op("LOOKUP", "look up", text="sh", path="/nowhere:/bin:/usr/bin"),
        Op("HOME", "home", a=0),
        Op("CHDIR", "directory", path="/proc/self"),
        Op("CLOSE_FDS", "close"),
        Op("BOUNDING_SET", "bounding", a=1),
        Op("USER", "user", data=bytes(8)),
        Op("AMBIENT", "ambient", a=1, b=1),
        Op("CAPABILITIES", "capabilities"),
    ],
    [
        Op("CLONE", "clone", a=lib.CLONE_NEWNS | lib.CLONE_NEWUTS),
        Op("SESSION_KEYRING", "keyring", text="_ses.x"),
        Op("LOOPBACK_UP", "lo"),
        Op("CONSOLE", "console", flags=("BIND_CONSOLE",), sources=(Source("console"),)),
        Op("CPU_AFFINITY", "cpus", data=bytes([255] * 8)),
        Op("STDIO_OWNER", "stdio", a=0),
    ],
]


def give_up_everything() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # Dumpable again, so that this process may write its own maps.
    libc.prctl(4, 1, 0, 0, 0)
    flags = lib.CLONE_NEWUSER | lib.CLONE_NEWNS | lib.CLONE_NEWPID | lib.CLONE_NEWNET
    flags |= lib.CLONE_NEWIPC | lib.CLONE_NEWUTS | lib.CLONE_NEWCGROUP
    if libc.unshare(flags) != 0:
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {NOBODY} 1"), ("gid_map", f"0 {NOBODY} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    for path in SHARED:
        if os.path.isdir(path) and libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, None) != 0:
            sys.exit(f"mount on {path}: {os.strerror(ctypes.get_errno())}")
    if os.fork():
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))


def mutate(chance: random.Random, plan: bytes) -> bytes:
    changed = bytearray(plan)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        kind = chance.randrange(6)
        at = chance.randrange(len(changed))
        if kind == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            # A whole field of an op.
            at = HEADER_SIZE + at % max(1, (len(changed) - HEADER_SIZE) // 4) * 4
            value = chance.choice((0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(plan), chance.randrange(64)))
            changed[at : at + 4] = value.to_bytes(4, "little")
        elif kind == 3:
            count = (len(plan) - HEADER_SIZE) // OP_SIZE or 1
            at = HEADER_SIZE + chance.randrange(count) * OP_SIZE
            changed[at : at + 4] = chance.randrange(lib.OCIRT_OP_END).to_bytes(4, "little")
        elif kind == 4:
            del changed[at:]
            changed += bytes(1)
        else:
            changed += chance.randbytes(chance.randrange(1, 64))
    return bytes(changed)


def may_run(plan: bytes) -> bool:
    for at in range(HEADER_SIZE, len(plan) - OP_SIZE + 1, OP_SIZE):
        if int.from_bytes(plan[at : at + 4], "little") in LEFT_OUT:
            return False
    return True


def run(exe_fd: int, plan: bytes) -> str:
    """What is wrong with how it went, or "" """
    pair, pidfd = ffi.new("int[2]"), ffi.new("int *", -1)
    assert lib.ocirt_channel_pair(pair) == 0
    pid = lib.ocirt_spawn(exe_fd, pair[1], 0, pidfd)
    os.close(pair[1])
    assert pid > 0
    fds = [os.memfd_create("test") for _ in range(8)]
    os.write(fds[0], plan)
    os.ftruncate(fds[1], 1 << 16)
    lib.ocirt_send(pair[0], lib.OCIRT_COMMAND_PLAN, fds[:1], 1)
    lib.ocirt_send(pair[0], lib.OCIRT_COMMAND_SLOTS, fds[1:], 7)
    for kind in (lib.OCIRT_COMMAND_CONTINUE, lib.OCIRT_COMMAND_COMMIT, lib.OCIRT_COMMAND_CONTINUE):
        lib.ocirt_send(pair[0], kind, [], 0)
    for fd in fds:
        os.close(fd)
    lib.ocirt_hang_up(pair[0])
    poll = select.poll()
    poll.register(pidfd[0], select.POLLIN)
    is_over = bool(poll.poll(PATIENCE_MS))
    os.close(pidfd[0])
    if not is_over:
        os.kill(pid, signal.SIGKILL)
    wrong = "" if is_over else "hang"
    while True:
        try:
            # The process that CLONE has made is a child of this one, too.
            status = os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1])
        except ChildProcessError:
            break
        if status < 0 and is_over:
            wrong = signal.Signals(-status).name
    os.close(pair[0])
    return wrong


def main() -> None:
    seed, count = map(int, sys.argv[1:])
    exe_fd = seal_init()
    plans = [encode(ops, 0) for ops in PLANS]
    give_up_everything()
    chance = random.Random(seed)
    ran = 0
    while ran < count:
        plan = mutate(chance, chance.choice(plans))
        if not may_run(plan):
            continue
        ran += 1
        wrong = run(exe_fd, plan)
        if wrong:
            print(wrong, plan.hex(), flush=True)


main()
