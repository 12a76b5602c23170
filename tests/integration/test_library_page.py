"""What docs/library.md and README.md show of the library is what happens."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from host_view import PATIENCE
from support import Runtime

from ocirt.config.template import default_config

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_program("busybox")]

DOCS = Path(__file__).parents[2]


@pytest.fixture
def hello(tmp_path: Path, runtime: Runtime) -> Path:
    """The bundle that the pages speak of."""
    busybox = Path(shutil.which("busybox") or "")
    if b"/ld-linux" in busybox.read_bytes()[:4096]:
        pytest.skip("needs a static busybox")
    bundle = tmp_path / "hello"
    programs = bundle / "rootfs/bin"
    programs.mkdir(parents=True)
    shutil.copy(busybox, programs / "busybox")
    for name in ("sh", "sleep", "ls", "cat", "mkdir"):
        (programs / name).symlink_to("busybox")
    config = default_config()
    config["process"]["terminal"] = False
    config["process"]["args"] = ["sleep", "1000"]
    config["root"]["readonly"] = False
    config["linux"]["cgroupsPath"] = f"/{runtime.token}/hello"
    (bundle / "config.json").write_text(json.dumps(config, indent=2))
    return bundle


def blocks(page: str, kind: str) -> str:
    return "\n".join(re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL))


def run(code: str, hello: Path, runtime: Runtime) -> str:
    """What *code* prints; it must not fail. To a file, since a container that it leaves would keep a pipe open."""
    for there, here in (("/srv/hello", hello), ("/root/hello", hello), ("/run/mine", runtime.root)):
        code = code.replace(there, str(here))
    code = code.replace("/run/agent.sock", str(runtime.root.parent / "agent.sock"))
    script = hello.parent / "page.py"
    # Of one script, so that what it and the containers print is in order.
    script.write_text("import functools\nprint = functools.partial(print, flush=True)\n" + code)
    printed = hello.parent / "printed"
    with printed.open("w") as file:
        done = subprocess.run([sys.executable, str(script)], stdout=file, stderr=file, timeout=6 * PATIENCE)
    assert done.returncode == 0, printed.read_text()
    return printed.read_text()


@pytest.mark.needs_controller("pids")
@pytest.mark.needs_controller("memory")
def test_the_page_shows_what_is_printed(hello: Path, runtime: Runtime) -> None:
    printed = run(blocks("docs/library.md", "python"), hello, runtime)
    assert printed.splitlines() == [line for line in blocks("docs/library.md", "text").splitlines() if line]


def test_the_readme_shows_how_it_is_used(hello: Path, runtime: Runtime) -> None:
    container, agent = re.findall(r"```python\n(.*?)```", (DOCS / "README.md").read_text(), re.DOTALL)
    assert "init mount proc on /proc /mounts/0\n" in run(container, hello, runtime)
    assert runtime.ids() == []
    compile(agent, "README.md", "exec")
