"""CVE-2026-84042 (crun before 1.30, with krun): a program of the image is run on the host as a helper of the
runtime.
"""

from __future__ import annotations

import pytest
from support import Bundle, Runtime

from security.attack import Victim

pytestmark = pytest.mark.needs_root

NAMES = ["newuidmap", "newgidmap", "criu", "systemd-run", "nsenter", "ip", "sh", "python3", "ocirt-init", "ocirt"]


@pytest.mark.needs_userns
@pytest.mark.parametrize("user_namespace", [False, True], ids=["", "user-namespace"])
def test_no_helper_is_taken_from_the_image(
    runtime: Runtime, bundle: Bundle, victim: Victim, user_namespace: bool
) -> None:
    for name in NAMES:
        bundle.write(f"/bin/{name}", f"#!/bin/sh\ntouch {victim.path}/owned\n", 0o755)
    if user_namespace:
        bundle.map_ids((0, 100000, 65536))
    bundle.process["env"] = [f"PATH={bundle.rootfs}/bin:/bin", f"PYTHONPATH={bundle.rootfs}/bin", "LD_PRELOAD=/bin/sh"]
    container = runtime.start_paused_program(bundle)
    container.exec("/init", "pids").check()
    container.kill("KILL")
    container.wait()
    container.delete()
    victim.assert_unharmed()


def test_the_working_directory_provides_no_module(runtime: Runtime, bundle: Bundle, victim: Victim) -> None:
    """Engines start the command in the bundle, which may be unpacked from an image."""
    for name in ("json", "os", "ocirt", "sitecustomize", "usercustomize", "_shim", "cffi"):
        (bundle.path / f"{name}.py").write_text(f"open({str(victim.path / 'owned')!r}, 'w')")
    bundle.save()
    runtime(
        "run", runtime.new_id(), cwd=bundle.path, env={"PYTHONPATH": str(bundle.path), "PATH": str(bundle.path)}
    ).check()
    victim.assert_unharmed()
