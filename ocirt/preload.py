"""Imports what commands import, also what they import later, in functions: csrc/launcher/snapshot_make.c does it once,
for the snapshot in which they begin. What is not here is imported by every command that needs it.

Nothing here may need more of the interpreter than `ocirt.archive` gives without completing it, nor read anything that
is another thing in another process: the environment, the clock, a descriptor.
"""

# ruff: noqa: F401

from __future__ import annotations

import sys

# isort: off
# What nearly every container needs comes first: its objects share pages of memory, and each page that is written to, if
# only to count a reference, costs a command 2 µs.
import ocirt.__main__
import ocirt.cli.run
import ocirt.console
import ocirt.launch.create
import ocirt.cgroup.settings
import ocirt.cli.start
import ocirt.launch.begin
import ocirt.cli.state
import ocirt.cli.kill
import ocirt.cli.delete
import ocirt.cli.exec
import ocirt.launch.join
import ocirt.cli.list
import pwd
import ocirt.seccomp
import ocirt.hooks
import ocirt.cgroup.device_program

# What is seldom needed, or by commands that nobody waits for.
import ocirt.cgroup.stats
import ocirt.cgroup.systemd
import ocirt.cli.events
import ocirt.cli.pause
import ocirt.cli.ps
import ocirt.cli.resume
import ocirt.cli.update
import ocirt.control
import ocirt.events
import ocirt.launch.failure
import ocirt.launch.listener
import ocirt.timeline
import ocirt.update

# isort: on

#: The sources of what was imported. A snapshot is outdated when one of them has changed.
FILES: list[str] = [vars(module)["__file__"] for module in sys.modules.values() if vars(module).get("__file__")]
