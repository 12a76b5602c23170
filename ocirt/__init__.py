"""ocirt: an OCI container runtime, as a library.

container.py  class Container: create, start, kill, delete, exec, state
errors.py     every exception class
config/       config.json: read, validated, explained
plan/         Config -> Plan: a list of operations, pure
launch/       Plan -> a running process, through ocirt-init (csrc/init)
cgroup/       control groups
criu/         checkpoint and restore
state.py      the state store
cli/          the `ocirt` command, which nothing imports

Names are loaded when they are first used: ``import ocirt`` alone costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt._version import __version__ as __version__
    from ocirt.container import Container as Container
    from ocirt.container import Process as Process
    from ocirt.criu.options import CriuOptions as CriuOptions
    from ocirt.errors import ConfigError as ConfigError
    from ocirt.errors import ContainerExists as ContainerExists
    from ocirt.errors import ContainerNotFound as ContainerNotFound
    from ocirt.errors import HookError as HookError
    from ocirt.errors import InternalError as InternalError
    from ocirt.errors import InvalidContainerId as InvalidContainerId
    from ocirt.errors import OcirtError as OcirtError
    from ocirt.errors import ProgramError as ProgramError
    from ocirt.errors import StepError as StepError
    from ocirt.errors import UnsupportedError as UnsupportedError
    from ocirt.errors import WrongStatus as WrongStatus
    from ocirt.options import Options as Options
    from ocirt.seccomp_agent import SeccompAgent as SeccompAgent
    from ocirt.seccomp_recorder import SeccompRecorder as SeccompRecorder

_HOME = {
    "Container": "ocirt.container",
    "Options": "ocirt.options",
    "Process": "ocirt.container",
    "CriuOptions": "ocirt.criu.options",
    "ConfigError": "ocirt.errors",
    "ContainerExists": "ocirt.errors",
    "ContainerNotFound": "ocirt.errors",
    "HookError": "ocirt.errors",
    "InternalError": "ocirt.errors",
    "InvalidContainerId": "ocirt.errors",
    "OcirtError": "ocirt.errors",
    "ProgramError": "ocirt.errors",
    "StepError": "ocirt.errors",
    "UnsupportedError": "ocirt.errors",
    "WrongStatus": "ocirt.errors",
    "SeccompAgent": "ocirt.seccomp_agent",
    "SeccompRecorder": "ocirt.seccomp_recorder",
    "__version__": "ocirt._version",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'ocirt' has no attribute {name!r}")
    # Not importlib, which costs more than what it would import here.
    module = __import__(home, fromlist=[name])
    value = getattr(module, name)
    globals()[name] = value
    return value
