"""Imports the modules of the `ocirt` command out of one file. csrc/launcher runs this before anything else; the
library and ``python -m ocirt`` never do.

``modules.archive``, which csrc/build_archive.py writes, holds this module and all others, compiled. A module whose
source is not the one that was compiled is left to Python's own finders.

The command begins in an interpreter that knows only what is built into it, which takes 2 ms less: no search path, no
``open``, no standard streams (PyConfig._init_main, "multi-phase initialization"). Whoever imports what is neither in
the archive nor in `_AT_ONCE` gets the rest of the interpreter first. Until then ``os`` is a `SmallOs`, 1 ms less.
"""

from __future__ import annotations

import _imp
import builtins
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType
    from typing import Any

    # Offset and size of the code, path of the source below its directory, its size and mtime in ns (0: any will do).
    Entry = tuple[int, int, str, int, int]
else:
    ModuleType = type(sys)

# Imports that C code asks for, such as those of completing, look for __import__ in the globals of the running function.
__builtins__ = builtins

#: Modules of the interpreter that do not need the rest of it: built in or frozen, and nothing in them is set up later,
#: as it is in ``_signal``. Python 3.11 and 3.12.
_AT_ONCE = frozenset(
    (
        *("_abc", "_blake2", "_codecs", "_collections_abc", "_io", "_json", "_stat", "abc", "codecs", "errno"),
        *("genericpath", "os", "posixpath", "pwd", "select", "stat", "time"),
    )
)


class ArchiveImporter:
    """Finds and loads the modules of an archive (importlib.abc.MetaPathFinder, Loader).

    *code* is the archive's area of code, into which the entries of *modules* point; their sources lie in *directory*.
    """

    __slots__ = ("code", "directory", "modules")

    def __init__(self, modules: Mapping[str, Entry], code: memoryview, directory: str) -> None:
        self.modules = modules
        self.code = code
        self.directory = directory

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        entry = self.modules.get(name)
        if entry is None:
            return None
        file = f"{self.directory}/{entry[2]}"
        if entry[3]:
            try:
                source = posix.stat(file)
            except OSError:
                return None
            if source.st_size != entry[3] or (entry[4] and source.st_mtime_ns != entry[4]):
                return None
        spec = ModuleSpec(name, self, origin=file, loader_state=entry)  # type: ignore[arg-type]  # has no base class
        if file.endswith("/__init__.py"):
            spec.submodule_search_locations = [file[: -len("/__init__.py")]]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        spec: Any = module.__spec__
        offset, size = spec.loader_state[:2]
        needed, code = marshal.loads(self.code[offset : offset + size])
        for name in needed:
            if name not in sys.modules:
                self.load(name)
        module.__file__ = spec.origin
        exec(code, module.__dict__)

    def load(self, name: str) -> None:
        """Import a module of the archive without the locks and the other finders of an import statement, in a third of
        its time. Nothing happens when the archive's is not to be used, or that of its package."""
        package, _, child = name.rpartition(".")
        spec = self.find_spec(name)
        if spec is None or (package and package not in sys.modules):
            return
        module = ModuleType(name)
        module.__spec__ = spec
        module.__loader__ = self  # type: ignore[assignment]  # has no base class
        module.__package__ = spec.parent
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        sys.modules[name] = module
        try:
            self.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        if package:
            setattr(sys.modules[package], child, module)


class ExtensionImporter:
    """Finds and loads the extension modules *names* without listing directories (importlib.abc.MetaPathFinder, Loader).

    The first of *directories* that has one counts.
    """

    __slots__ = ("directories", "names")

    def __init__(self, names: Sequence[str], directories: Sequence[str]) -> None:
        self.names = names
        self.directories = directories

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name not in self.names:
            return None
        below = name.replace(".", "/")
        for directory in self.directories:
            for suffix in _imp.extension_suffixes():
                file = f"{directory}/{below}{suffix}"
                try:
                    posix.stat(file)
                except OSError:
                    continue
                return ModuleSpec(name, self, origin=file)  # type: ignore[arg-type]  # has no base class
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _imp.create_dynamic(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec: Any = module.__spec__
        module.__file__ = spec.origin
        _imp.exec_dynamic(module)


class SmallOs(ModuleType):
    """``os`` with what comes from ``posix``, paths, and the few functions below, which are those of os.py.

    Not with its abstract classes, and not with what else it sets up. Who asks for more gets it from the true one, which
    takes the place of this one in ``sys.modules``.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("os")
        self.__dict__.update(posix.__dict__, __name__="os")
        del self.__dict__["environ"]  # bytes
        sys.modules["os"] = self
        import posixpath

        self.path = sys.modules["os.path"] = posixpath

    def __getattr__(self, name: str) -> Any:
        return getattr(true_os(), name)

    @staticmethod
    def fsencode(filename: Any) -> bytes:
        filename = posix.fspath(filename)
        return filename.encode("utf-8", "surrogateescape") if isinstance(filename, str) else filename

    @staticmethod
    def fsdecode(filename: Any) -> str:
        filename = posix.fspath(filename)
        return filename.decode("utf-8", "surrogateescape") if isinstance(filename, bytes) else filename

    def getenv(self, key: str, default: str | None = None) -> str | None:
        value = posix.environ.get(self.fsencode(key))
        return default if value is None else self.fsdecode(value)


def true_os() -> ModuleType:
    """The module ``os``, also where a `SmallOs` has its place, to which it puts an end."""
    if type(sys.modules.get("os")) is SmallOs:
        del sys.modules["os"]
    import os

    return os


class Completion:
    """Completes an incomplete interpreter, by *complete*, before anything but `_AT_ONCE` is imported from elsewhere.
    What is imported from then on gets the true ``os``."""

    __slots__ = ("_complete",)

    def __init__(self, complete: Callable[[], None]) -> None:
        self._complete = complete

    def complete(self) -> None:
        true_os()
        self._complete()

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name in _AT_ONCE:
            return None
        # Not removed from sys.meta_path: the loop over it would leave the next one out.
        self.complete()
        return None

    def open(self, *arguments: Any, **options: Any) -> Any:
        """builtins.open, which completing replaces by the true one."""
        self.complete()
        return builtins.open(*arguments, **options)


def install(
    index: tuple[object, dict[str, Entry], dict[str, Entry], tuple[str, ...], tuple[str, ...]],
    code: memoryview,
    stdlib: str,
    dynload: str,
    packages: str,
    argv: list[str],
    complete: Callable[[], None],
) -> None:
    """Imports from the archive of *index* and *code* from now on.

    *stdlib* is the directory of the standard library, *dynload* that of its extension modules, *packages* are those of
    ocirt and of further packages, separated by colons. *complete* completes an interpreter that is not complete.
    """
    sys.argv = argv
    directories = packages.split(":")
    _, modules, stdlib_modules, stdlib_extensions, extensions = index
    importers: list[Any] = [
        ArchiveImporter(modules, code, directories[0]),
        ArchiveImporter(stdlib_modules, code, stdlib),
        ExtensionImporter(stdlib_extensions, (dynload,)),
        ExtensionImporter(extensions, directories),
    ]
    if not hasattr(builtins, "open"):
        completion = Completion(complete)
        importers.append(completion)
        builtins.open = completion.open
        SmallOs()
    sys.meta_path[:0] = importers
