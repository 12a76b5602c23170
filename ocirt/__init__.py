"""ocirt: an OCI container runtime, as a library.

    from ocirt import ConfigError, Container, Options

    try:
        container = Container.create("hello", "/srv/hello", Options(root="/run/mine"))
    except ConfigError as error:
        raise SystemExit(f"{error.pointer}, line {error.line}: {error.message}")
    container.start()
    container.wait()
    container.delete()

A bundle is a directory with config.json and a root filesystem (runtime-spec 1.3). What stands here is all that is
public; docs/library.md shows it at work.

Container           one container: made by create, restore or load; every operation is a method
Options             what a caller may say about one create or exec beyond the configuration
CriuOptions         the same for checkpoint and restore
Process             what Container.exec has started
SeccompAgent        answers the system calls that containers notify
SeccompRecorder     notes them, and makes the smallest profile

OcirtError          every error is one, and has its data as attributes
  ConfigError         config.json is not as the specification wants it: pointer, line, message, rule
  UnsupportedError    this host cannot do it: feature, needs, pointer
  InvalidContainerId, ContainerExists, ContainerNotFound: id
  WrongStatus         not in this status: status, operation, allowed
  StepError           the kernel refused a step (OSError): step, errno, origin, hint
    ProgramError        the program cannot be executed
  HookError           a hook failed: kind, index, path, status, stderr
  InternalError       a bug in ocirt

Nothing prints, nothing exits, no signal handler is set; all of it may be called in a program with threads. Names are
loaded when they are first used: ``import ocirt`` alone costs nothing.
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


def __dir__() -> list[str]:
    """For help() and completion, which look at what is loaded already."""
    return sorted({*globals(), *_HOME})
