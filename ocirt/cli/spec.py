"""``ocirt spec``: a config.json to begin with."""

from __future__ import annotations

import os

from ocirt.cli.parser import Command, Flag
from ocirt.config.template import default_config
from ocirt.errors import OcirtError
from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call

_UNIFIED_CGROUP = "/sys/fs/cgroup/cgroup.controllers"


def run(call: Call) -> int:
    rootless = call.words.flag("rootless")
    config = default_config(
        rootless=rootless, uid=os.geteuid(), gid=os.getegid(), cgroup2=os.path.exists(_UNIFIED_CGROUP)
    )
    path = os.path.join(call.words.text("bundle") or "", "config.json")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise OcirtError("File config.json exists. Remove it first") from None
    with open(fd, "w", encoding="utf-8") as file:
        file.write(dumps(config, indent=4) + "\n")
    return 0


COMMAND = Command(
    "spec",
    run,
    description="""\
Create the specification file "config.json" of a bundle. It is just a starter: process.args runs
"sh", which a root filesystem need not have, and root.path is "rootfs".

A rootless specification is for "{program} run" as a normal user: it has a user namespace in which
you are root.""",
    flags=(
        Flag("bundle", "path to the root of the bundle directory", short="b"),
        Flag("rootless", "generate a configuration for a rootless container", kind="bool"),
    ),
    examples=(
        ("A bundle for the current directory", "mkdir rootfs && {program} spec"),
        ("With another command", '{program} spec && sed -i \'s;"sh";"/hello";\' config.json'),
    ),
)
