"""Runs in the guest: takes a request, a line of JSON, from the virtio port "vm", and answers with frames of
(kind, length, data). Kinds: R ready, O standard output, E standard error, X exit status, F failed to start."""

from __future__ import annotations

import fcntl
import io
import json
import os
import select
import struct
import subprocess
import time
from typing import Any

PORT = "/dev/virtio-ports/vm"
RNDRESEEDCRNG = 0x5207
HOST = "/run/host"  # where all shares are, by 9p

port = os.open(PORT, os.O_RDWR | os.O_CLOEXEC)
requests, answers = io.FileIO(port), io.FileIO(port, "wb")


def send(kind: bytes, data: bytes = b"") -> None:
    answers.write(struct.pack(">cI", kind, len(data)) + data)


def mount(kind: str, options: str, source: str, target: str) -> None:
    subprocess.run(["mount", "-t", kind, "-o", options, source, target], check=True)


def wake(now: float, seed: str) -> None:
    """Set the clock to *now*, and mix a *seed* into the random numbers: a resumed guest must not repeat those of
    others."""
    time.clock_settime(time.CLOCK_REALTIME, now)
    with open("/dev/urandom", "wb", 0) as random:
        random.write(bytes.fromhex(seed))
        fcntl.ioctl(random, RNDRESEEDCRNG)


def share(paths: list[str], overlay: bool) -> None:
    if paths:
        os.makedirs(HOST)
        mount("9p", "trans=virtio,version=9p2000.L,msize=512000,cache=loose", "host", HOST)
    for path in paths:
        name = path.replace("/", "_")
        lower, upper, work = f"{HOST}{path}", f"/var/tmp/upper{name}", f"/var/tmp/work{name}"
        for directory in (path, upper, work):
            os.makedirs(directory, exist_ok=True)
        if overlay:
            mount("overlay", f"lowerdir={lower},upperdir={upper},workdir={work}", lower, path)
        else:
            mount("none", "bind", lower, path)


def execute(argv: list[str], directory: str, merge: bool) -> int:
    """Run *argv*, its output sent as it comes; the exit status. With *merge* both streams are one, in order."""
    out, err = os.pipe(), os.pipe()
    child = subprocess.Popen(
        ["env", *argv],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=out[1],
        stderr=out[1] if merge else err[1],
        process_group=0,
    )
    kinds, done = {out[0]: b"O", err[0]: b"E"}, os.pidfd_open(child.pid)
    ready: list[int] = []
    # Until it has ended and the pipes are dry, which daemons may hold open.
    while ready != [done]:
        ready = select.select([*kinds, done], [], [])[0]
        for fd in kinds.keys() & ready:
            send(kinds[fd], os.read(fd, 65536))
    status = child.wait()
    return status if status >= 0 else 128 - status


def answer(request: dict[str, Any]) -> None:
    wake(request["now"], request["seed"])
    share(request["shares"], request["overlay"])
    status = execute(request["argv"], request["shares"][0] if request["shares"] else "/", request["merge"])
    os.sync()
    send(b"X", b"%d" % status)


def main() -> None:
    subprocess.run(["systemctl", "is-system-running", "--wait"], stdout=subprocess.DEVNULL)
    send(b"R")
    while True:
        line = requests.readline()
        try:
            if line:
                answer(json.loads(line))
        except Exception as error:
            send(b"F", str(error).encode())


if __name__ == "__main__":
    main()
