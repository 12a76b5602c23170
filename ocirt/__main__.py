"""Runs the command: ``python -m ocirt``, and through csrc/command ``ocirt``.

Nothing is left to flush or to free at the end: ocirt.cli writes without buffers, and the kernel does the rest. So the
process ends by _exit(2), which saves the interpreter's own end of 2 ms.
"""

from __future__ import annotations

import os
import sys

from ocirt.cli import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def run() -> NoReturn:
    """Run the command that ``sys.argv`` names, and end this process with its exit status."""
    _signal = sys.modules.get("_signal")  # there if Python has taken a signal
    if _signal is not None and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        # An exception at an arbitrary place would be no better end than the kernel's. A half-made container sees ours.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    os._exit(main(sys.argv))


if __name__ == "__main__":
    run()
