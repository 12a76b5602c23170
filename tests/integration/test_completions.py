"""What bash, zsh and fish offer behind ``ocirt``: a shell on a terminal, whose user types the beginning of a line.

What is offered is put into the line by the shell itself, and the line is made one of printf(1).
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from host_view import wait_readable
from support import OCIRT, Bundle, Runtime

from ocirt.cli import COMMANDS, GLOBAL_FLAGS, load

SHARE = Path(__file__).resolve().parents[2] / "completions/share"
BASH = f"""\
PS1= PS2=
bind 'set bell-style none' 'set enable-bracketed-paste off'
bind '"\\C-x": insert-completions'
source {SHARE}/bash-completion/completions/ocirt
"""
ZSH = f"""\
PS1= PS2=
unsetopt prompt_cr prompt_sp beep zle_bracketed_paste
fpath=({SHARE}/zsh/site-functions $fpath)
autoload -U compinit && compinit -D -u
zle -C all complete-word _generic
zstyle ':completion:all:*' completer _all_matches _complete
zstyle ':completion:*' insert true
bindkey -e
bindkey '^X' all
"""
ALL = "\x18"
START_OF_LINE = "\x01"

Offered = Callable[[str], list[str]]


def typed(shell: list[str], set_up: str, line: str) -> list[str]:
    """The words of the line as the shell completes it, from a session of its own."""
    pid, terminal_fd = pty.fork()
    if pid == 0:
        os.environ.update(PATH=f"{OCIRT.parent}:{os.environ['PATH']}", TERM="dumb", HISTFILE="")
        subprocess.run(["stty", "cols", "20000", "-echo"], check=True)
        os.execvp(shell[0], shell)
    try:
        os.write(terminal_fd, f"{set_up}printf '\\nset-%s\\n' up\n".encode())
        _read_until(terminal_fd, "set-up")
        os.write(terminal_fd, f"{line}{ALL}{START_OF_LINE}printf '<%s>\\n' \nprintf '\\nthe %s\\n' end\n".encode())
        output = _read_until(terminal_fd, "the end")
    finally:
        os.close(terminal_fd)
        os.waitpid(pid, 0)
    words = [text[1:-1] for text in output if text.startswith("<") and text.endswith(">")]
    return [word for word in words if word]


def _read_until(terminal_fd: int, last: str) -> list[str]:
    output = b""
    while last not in (lines := output.decode(errors="replace").replace("\r", "").split("\n")):
        wait_readable(terminal_fd, f"the line {last!r} after {output!r}")
        output += os.read(terminal_fd, 65536)
    return lines


def with_fish(line: str) -> list[str]:
    script = f"source {SHARE}/fish/vendor_completions.d/ocirt.fish; complete -C $argv[1]"
    env = {**os.environ, "PATH": f"{OCIRT.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["fish", "--no-config", "-c", script, line], capture_output=True, text=True, env=env)
    assert done.stderr == ""
    return [offer.partition("\t")[0] for offer in done.stdout.splitlines()]


@pytest.fixture(params=["bash", "zsh", "fish"])
def offered(request: pytest.FixtureRequest) -> Offered:
    """What that shell offers for the last word of a line, sorted."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"needs the program {shell}")

    def of(line: str) -> list[str]:
        if shell == "fish":
            return sorted(word.rstrip("/") for word in with_fish(line))
        words, set_up = (["bash", "--norc", "--noprofile", "-i"], BASH) if shell == "bash" else (["zsh", "-f"], ZSH)
        return sorted(word.rstrip("/") for word in typed(words, set_up, line)[len(line.split(" ")) - 1 :])

    return of


def test_the_commands_are_offered_first(offered: Offered) -> None:
    assert offered("ocirt st") == ["start", "state", "stats"]
    assert offered("ocirt --debug --log-format json cre") == ["create"]
    assert offered("ocirt help pau") == ["pause"]


def test_the_global_flags_are_offered_before_a_command(offered: Offered) -> None:
    assert set(offered("ocirt --")) >= {f"--{flag.name}" for flag in GLOBAL_FLAGS}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_its_own_flags_offered_and_no_other(offered: Offered, name: str) -> None:
    shown = {f"--{flag.name}" for flag in load(name).flags if not flag.hidden}
    assert {flag.rstrip("=") for flag in offered(f"ocirt {name} --")} == shown


def test_words_files_and_folders_are_offered_for_what_has_them_as_a_value(offered: Offered, tmp_path: Path) -> None:
    assert offered("ocirt --log-format ") == ["json", "text"]
    assert offered("ocirt list -f t") == ["table"]
    assert offered("ocirt exec --cap CAP_NET_A") == ["CAP_NET_ADMIN"]
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert offered(f"ocirt create --bundle {tmp_path}/f") == [f"{tmp_path}/folder"]
    assert offered(f"ocirt update --resources {tmp_path}/fi") == [f"{tmp_path}/file"]


def test_a_value_may_stand_behind_an_equals_sign(offered: Offered, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert offered("ocirt list --format=ta") == ["--format=table"]
    assert offered(f"ocirt --log={tmp_path}/f") == [f"--log={tmp_path}/file"]
    assert offered(f"ocirt --root={tmp_path} list --q") == ["--quiet"]


def test_what_follows_the_container_of_exec_is_the_programs(offered: Offered) -> None:
    assert offered("ocirt exec box ls --ig") in ([], ["--ig"])
    assert offered("ocirt exec --ig") == ["--ignore-paused"]


@pytest.mark.needs_root
def test_the_containers_of_the_root_are_offered(offered: Offered, runtime: Runtime, bundle: Bundle) -> None:
    containers = sorted(runtime.create(bundle, "pause").id for _ in range(2))
    assert offered(f"ocirt --root {runtime.root} kill ") == containers
    assert offered(f"ocirt --root={runtime.root} state {containers[1]}") == [containers[1]]
