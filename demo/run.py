"""Runs a few containers and shows what each of them proves. Leaves nothing behind.

    python demo/run.py [OCIRT]      OCIRT: the command, by default the one beside this interpreter

Everything that is shown is checked as well: the first thing that is not as it should be ends the demonstration.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEMORY_LIMIT = 64 << 20
PIDS_LIMIT = 20
CGROUP2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
APPLETS = ("cat", "cut", "hostname", "id", "ip", "mount", "ps", "sh", "sleep", "sort", "touch", "true")


class Demonstration:
    """A busybox bundle and a state directory of its own in a temporary directory."""

    def __init__(self, ocirt: str, directory: Path) -> None:
        self.ocirt = ocirt
        self.bundle = directory / "bundle"
        self.state = directory / "state"
        self.shown = 0
        self.make_bundle()
        self.template: dict[str, Any] = json.loads((self.bundle / "config.json").read_text())

    def make_bundle(self) -> None:
        programs = self.bundle / "rootfs/bin"
        programs.mkdir(parents=True)
        busybox = shutil.which("busybox")
        if busybox is None:
            sys.exit("The demonstration needs a static busybox (on Debian: apt-get install busybox-static).")
        shutil.copy(busybox, programs / "busybox")
        for applet in APPLETS:
            (programs / applet).symlink_to("busybox")
        subprocess.run([self.ocirt, "spec", "--bundle", self.bundle], check=True)

    def configure(self, script: str, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        config: dict[str, Any] = json.loads(json.dumps(self.template))
        config["process"] |= {"args": ["sh", "-c", script], "terminal": False}
        resources = config["linux"].setdefault("resources", {})
        resources["memory"] = {"limit": MEMORY_LIMIT}
        resources["pids"] = {"limit": PIDS_LIMIT}
        if change is not None:
            change(config)
        (self.bundle / "config.json").write_text(json.dumps(config, indent=4))

    def call(self, *words: str, echo: str = "", status: int = 0, most: int = 20) -> str:
        """Types an ocirt command, shows it with its output, and returns the output."""
        print(f"  # ocirt {echo or shlex.join(words)}", flush=True)
        command = [self.ocirt, "--root", str(self.state), *words]
        done = subprocess.run(
            command,
            cwd=self.bundle,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = done.stdout.splitlines()
        for line in lines[:most]:
            print(f"    {line}")
        if len(lines) > most:
            print(f"    ... and {len(lines) - most} more")
        if done.returncode:
            print(f"    (exit status {done.returncode})")
        self.expect(done.returncode == status, f"the exit status is {done.returncode} instead of {status}")
        return done.stdout

    def run(self, script: str, change: Callable[[dict[str, Any]], None] | None = None, *, status: int = 0) -> str:
        """Runs *script* as the program of a new container; the default configuration may be changed before."""
        self.configure(script, change)
        return self.call("run", "demo", echo=f"run demo      [sh -c {shlex.quote(script)}]", status=status, most=8)

    def title(self, text: str) -> None:
        self.shown += 1
        print(f"\n{self.shown}. {text}", flush=True)

    def expect(self, is_true: bool, otherwise: str) -> None:
        if not is_true:
            sys.exit(f"\nThe demonstration has failed: {otherwise}.")

    def clean_up(self) -> None:
        subprocess.run([self.ocirt, "--root", str(self.state), "delete", "--force", "demo"], check=False)


def show_isolation(demo: Demonstration) -> None:
    demo.title("Its own processes: the program is pid 1, and sees nobody else")
    said = demo.run("echo I am pid $$; ps -o pid,args")
    demo.expect("I am pid 1\n" in said, "the program is not pid 1")
    demo.expect(len(said.splitlines()) <= 4, "other processes can be seen")

    demo.title("Its own host name")
    said = demo.run("hostname", lambda config: config.update(hostname="in-a-container"))
    demo.expect(said == "in-a-container\n", "the host name is not the container's")

    demo.title("Its own mounts: those of config.json, and none of the host's")
    said = demo.run("mount | sort -k 3")
    demo.expect(str(demo.bundle) not in said, "a path of the host can be seen")

    demo.title("Its own network: the loopback device, and no other")
    said = demo.run("ip -o link | cut -d ' ' -f 1-3")
    demo.expect(len(said.splitlines()) == 1 and "lo:" in said, "there are other devices than lo")

    demo.title("A root filesystem that cannot be written")
    said = demo.run("touch /new-file", status=1)
    demo.expect("Read-only file system" in said, "the root filesystem could be written")


def show_limits(demo: Demonstration) -> None:
    demo.title(f"A limit of memory, {MEMORY_LIMIT >> 20} MiB, as it is seen from inside")
    file = "memory.max" if CGROUP2 else "memory/memory.limit_in_bytes"
    said = demo.run(f"cat /sys/fs/cgroup/{file}")
    demo.expect(said == f"{MEMORY_LIMIT}\n", "the memory limit is not there")

    demo.title(f"A limit of processes, {PIDS_LIMIT}, and what becomes of a fork bomb")
    said = demo.run("while sleep 1000 & do :; done", status=2)
    demo.expect("can't fork" in said, "there is no limit of processes")

    demo.title("Root of a user namespace: uid 0 inside is an ordinary user's id outside")

    def in_user_namespace(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"].append({"type": "user"})
        config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]

    said = demo.run("id -u; cat /proc/self/uid_map", in_user_namespace)
    demo.expect(said.split() == ["0", "0", "100000", "65536"], "the ids are not mapped")

    demo.title("The exit status of the program is that of the command")
    demo.run("exit 42", status=42)


def show_lifecycle(demo: Demonstration) -> None:
    demo.title("The life of a container step by step, as an engine sees it")
    demo.configure("sleep 1000")
    command = f"{shlex.quote(demo.ocirt)} --root {shlex.quote(str(demo.state))} create demo </dev/null >/dev/null 2>&1"
    print("  # ocirt create demo")
    demo.expect(subprocess.run(command, shell=True, cwd=demo.bundle).returncode == 0, "create has failed")
    demo.call("start", "demo")
    demo.call("exec", "demo", "ps", "-o", "pid,args")
    state = json.loads(demo.call("state", "demo"))
    demo.expect(state["status"] == "running", "the container does not run")
    demo.call("kill", "demo", "KILL")
    wait_for_end(state["pid"])
    demo.call("delete", "demo")
    demo.expect(demo.call("list", "--quiet") == "", "the container is still there")


def show_explanations(demo: Demonstration) -> None:
    demo.title("An error names the property and what was wanted")

    def misspelt(config: dict[str, Any]) -> None:
        config["process"]["cwd"] = 7

    demo.configure("true", misspelt)
    said = demo.call("run", "demo", status=1)
    demo.expect("/process/cwd" in said, "the error does not name the property")

    demo.title("The plan: every step that config.json will cause, in order, each with the property it comes from")
    demo.configure("true")
    said = demo.call("plan")
    demo.expect("/mounts/0" in said, "the plan has no mounts")


def wait_for_end(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    select.select([pidfd], [], [], 10)
    os.close(pidfd)


def main() -> None:
    ocirt = sys.argv[1] if len(sys.argv) > 1 else str(Path(sys.executable).with_name("ocirt"))
    if os.geteuid() != 0:
        sys.exit("The demonstration makes containers as root: please run it as root.")
    with tempfile.TemporaryDirectory(prefix="ocirt-demo-") as directory:
        demo = Demonstration(ocirt, Path(directory))
        try:
            show_isolation(demo)
            show_limits(demo)
            show_lifecycle(demo)
            show_explanations(demo)
        finally:
            demo.clean_up()
    print(f"\n{demo.shown} of {demo.shown} shown, and nothing is left of it.")


if __name__ == "__main__":
    main()
