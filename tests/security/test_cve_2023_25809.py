"""CVE-2023-25809 (runc before 1.1.5): /sys/fs/cgroup of the host is writable in a container of an ordinary user.

Without a cgroup namespace, and with the host's /sys bound read-only but not all that is mounted in it, the user's
own cgroups could be changed by the container. The template for ordinary users has neither; a configuration that
binds /sys all the same gets what it asks for, as with runc, and then only the owners and modes of the host's
cgroups protect them.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from support import CGROUP, OCIRT, SYSFS, Bundle, Runtime, open_path

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_userns]

USER = 1000


def user_can_run_the_command() -> bool:
    """Whether the environment that the tests run in is one that everybody may read."""
    for path in (OCIRT, *OCIRT.parents, Path(os.__file__)):
        if not os.stat(path).st_mode & 0o005:
            return False
    return all(os.stat(path).st_mode & 0o001 for path in Path(os.__file__).parents)


@pytest.fixture
def bundle(bundle: Bundle, runtime: Runtime) -> Bundle:
    if not user_can_run_the_command():
        pytest.skip("needs an installation that every user may read")
    bundle.add_namespace("user")
    bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": USER, "size": 1}]
    bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": USER, "size": 1}]
    shutil.copyfile(bundle.rootfs / "init", bundle.rootfs / "own")
    (bundle.rootfs / "own").chmod(0o755)
    runtime.user = (USER, USER)
    open_path(bundle.path)
    for directory, names, files in os.walk(bundle.path.parent):
        for name in [".", *names, *files]:
            if name != "init":
                os.chown(os.path.join(directory, name), USER, USER, follow_symlinks=False)
    return bundle


def test_the_template_for_ordinary_users_shows_no_cgroup_of_the_host(runtime: Runtime, tmp_path: Path) -> None:
    runtime("spec", "--rootless", "--bundle", str(tmp_path)).check()
    config = json.loads((tmp_path / "config.json").read_text())
    has_namespace = any(each["type"] == "cgroup" for each in config["linux"]["namespaces"])
    mounts = {each["destination"]: each for each in config["mounts"]}
    is_bound = "rbind" in mounts.get("/sys", {}).get("options", ())
    is_covered = "ro" in mounts.get("/sys/fs/cgroup", {}).get("options", ())
    is_masked = "/sys/fs/cgroup" in config["linux"]["maskedPaths"]
    assert is_masked or is_covered or (has_namespace and not is_bound)


@pytest.mark.parametrize("sys", ["bound", "sysfs"])
def test_no_cgroup_of_the_host_can_be_changed(runtime: Runtime, bundle: Bundle, sys: str) -> None:
    bundle.remove_namespace("cgroup")
    if sys == "bound":
        bundle.add_mount("/sys", "bind", "/sys", "rbind", "ro")
    else:
        bundle.config["mounts"] += [SYSFS, CGROUP]
    result = runtime.run(
        bundle,
        "mkdir",
        "/sys/fs/cgroup/x",
        ";",
        "mkdir",
        "/sys/fs/cgroup/unified/x",
        ";",
        "write",
        "/sys/fs/cgroup/cgroup.procs",
        "1",
    )
    assert "Traceback" not in result.err
    if result.status == 0:
        for value in result.values:
            assert value["errno"] in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
    else:
        result.fails()
