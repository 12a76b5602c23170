"""ocirt.host: what it reads of processes that may end at any moment."""

from __future__ import annotations

import os
import signal

import pytest

from ocirt import host


def test_a_process_that_ends_between_open_and_read_is_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    assert host.process_stat(pid) is not None
    open_file = os.open

    def open_and_end(path: str, flags: int) -> int:
        fd = open_file(path, flags)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with pytest.raises(ProcessLookupError):
            os.pread(fd, 1, 0)
        return fd

    monkeypatch.setattr(os, "open", open_and_end)
    assert host.process_stat(pid) is None
