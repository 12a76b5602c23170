"""Builds what pyproject.toml cannot say: the C parts, the compiled validator and the copies of the schemas.

    ocirt._shim, ocirt._seccomp   cffi extensions (csrc/shim)
    ocirt/ocirt-init              the static program that becomes the container's process (csrc/init)
    ocirt/config/_validator.py    schemas/*.json as plain Python
    ocirt/schemas/*.json          for error reports
    ocirt/modules.archive         the package's bytecode in one file (csrc/build_archive.py)
    ocirt/ocirt-python            the interpreter embedded, and what makes snapshots of it (csrc/launcher)
    bin/ocirt                     the command (csrc/command)
    share/                        completions and manual pages

``CC``, ``CFLAGS`` and ``LDFLAGS`` are honoured (for ocirt-init and the command, which have no libc, only ``CC``).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

from distutils.command.build_scripts import build_scripts  # isort: skip (setuptools brings its own distutils)

ROOT = Path(__file__).resolve().parent
CC = shlex.split(os.environ.get("CC") or "cc")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
FREESTANDING = [
    "-std=c11",
    "-Os",
    "-ffreestanding",
    "-fno-asynchronous-unwind-tables",
    "-fno-builtin",
    "-fno-stack-protector",
    "-fdata-sections",
    "-ffunction-sections",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-fno-pie",
    "-s",
    "-Wl,-z,noexecstack,--gc-sections,--build-id=none",
]


def version() -> str:
    text = (ROOT / "ocirt/_version.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None, "ocirt/_version.py has no __version__"
    return found[1]


def commit() -> str:
    """The commit of the source tree, marked when the tree differs from it, or "" outside of a git repository."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return ""
    return subprocess.run(git, capture_output=True, text=True).stdout.strip()


def require(what: str, package: str, probe: str) -> None:
    """Ends the build with one sentence unless the C compiler accepts *probe*."""
    compile_probe = [*CC, "-fsyntax-only", f"-I{sysconfig.get_path('include')}", "-x", "c", "-"]
    if subprocess.run(compile_probe, input=probe, capture_output=True, text=True).returncode != 0:
        raise SystemExit(f"ocirt cannot be built without {what} (on Debian: apt install {package})")


def require_tools() -> None:
    if shutil.which(CC[0]) is None:
        raise SystemExit(f"ocirt cannot be built without a C compiler: {CC[0]} not found (on Debian: apt install gcc)")
    require("the headers of the C library", "libc6-dev", "#include <stdlib.h>\n")
    require("the headers of the Linux kernel", "linux-libc-dev", "#include <linux/mount.h>\n")
    require("Python.h", "python3-dev", "#include <Python.h>\n")
    require("seccomp.h", "libseccomp-dev", "#include <seccomp.h>\n")


def compile_program(arguments: list[str]) -> None:
    print(shlex.join([*CC, *arguments]))
    if subprocess.run([*CC, *arguments]).returncode != 0:
        raise SystemExit("ocirt cannot be built: the C compiler has failed, see its messages above")


def load(path: str) -> Any:
    """The module of the source tree at *path*, which is not for installation."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources_in(folder: str) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(f"{folder}/*.c"))]


def libpython() -> str:
    """The interpreter's shared library, or "" when it has none."""
    name = sysconfig.get_config_var("INSTSONAME") or ""
    directories = [sysconfig.get_config_var("LIBDIR") or "", f"{sys.base_prefix}/lib"]
    paths = [f"{directory}/{name}" for directory in directories if ".so" in name]
    return next((path for path in paths if os.path.exists(path)), "")


def record(*, editable: bool) -> list[str]:
    """What the command needs to know of the building interpreter, as flags of the compiler. No path of a build
    environment is among it."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    facts = {
        "PREFIX": sys.base_prefix,
        "STDLIB": str(stdlib),
        "DYNLOAD": sysconfig.get_config_var("DESTSHARED") or str(stdlib / "lib-dynload"),
        "LIBPYTHON": libpython(),
        "EXECUTABLE": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
        "SITES": ":".join(site.getsitepackages([sys.base_prefix])),
        "SNAPSHOTS": "/run/ocirt-snapshots",
        "SOURCE": str(ROOT) if editable else "",
    }
    return [f"-I{sysconfig.get_path('include')}", *(f'-DRECORDED_{name}="{value}"' for name, value in facts.items())]


class BuildPackage(build_py):
    """Adds to the copied package what is made of csrc/init and schemas/. An editable build puts it into the tree."""

    def run(self) -> None:
        super().run()
        require_tools()
        package = ROOT / "ocirt" if self.editable_mode else Path(self.build_lib) / "ocirt"
        self.build_init(package / "ocirt-init")
        self.build_launcher(package / "ocirt-python")
        self.build_validator(package / "config/_validator.py")
        self.copy_schemas(package / "schemas")
        if not self.editable_mode:
            self.record_commit(package / "_version.py")
        load("csrc/build_archive.py").build(package, package / "modules.archive", keep_times=self.editable_mode)

    def build_init(self, program: Path) -> None:
        compile_program([*FREESTANDING, *WARNINGS, "-o", str(program), *sources_in("csrc/init")])
        program.chmod(0o755)

    def build_launcher(self, program: Path) -> None:
        flags = ["-O2", "-fPIE", "-pie", *shlex.split(os.environ.get("CFLAGS", "")), *WARNINGS]
        link = ["-ldl", *shlex.split(os.environ.get("LDFLAGS", ""))]
        recorded = record(editable=self.editable_mode)
        compile_program([*flags, *recorded, "-o", str(program), *sources_in("csrc/launcher"), *link])
        program.chmod(0o755)

    def build_validator(self, module: Path) -> None:
        load("schemas/build_validator.py").build(str(module))

    def copy_schemas(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        for schema in ROOT.glob("schemas/*.json"):
            shutil.copyfile(schema, directory / schema.name)
        if self.editable_mode:
            (directory / ".gitignore").write_text("*\n")

    def record_commit(self, module: Path) -> None:
        # Not the copy's text, which an earlier build may have left there with its own commit.
        text = (ROOT / "ocirt/_version.py").read_text()
        module.unlink()  # it may be a hard link to the one in the source tree
        module.write_text(text.replace('commit = ""', f'commit = "{commit()}"'))


class BuildExtensions(build_ext):
    """Warnings are errors in csrc/, but not in the glue that cffi writes."""

    def run(self) -> None:
        require_tools()
        super().run()

    def build_extensions(self) -> None:
        compile_one = self.compiler._compile

        def compile_strictly(obj, src, ext, cc_args, extra_postargs, pp_opts):  # type: ignore[no-untyped-def]
            strict = WARNINGS if Path(src).is_relative_to("csrc") else []
            compile_one(obj, src, ext, cc_args, [*extra_postargs, *strict], pp_opts)

        self.compiler._compile = compile_strictly
        super().build_extensions()


class BuildCommand(build_scripts):
    """``scripts`` names csrc/command/command.c; what is installed is the program that it compiles to."""

    def run(self) -> None:
        require_tools()
        program = Path(self.build_dir) / "ocirt"
        program.parent.mkdir(parents=True, exist_ok=True)
        build_package = self.distribution.get_command_obj("build_py")
        assert isinstance(build_package, BuildPackage)
        recorded = record(editable=build_package.editable_mode)
        sources = [*sources_in("csrc/command"), "csrc/init/string.c"]
        compile_program([*FREESTANDING, *WARNINGS, *recorded, "-o", str(program), *sources])


def shared_files() -> list[tuple[str, Sequence[str]]]:
    """What shells and man(1) look for: folder below the prefix -> files."""
    files = [(path.parent.relative_to("completions"), path) for path in Path("completions/share").rglob("*")]
    files += [(Path("share/man/man8"), path) for path in Path("docs/man").glob("*.8")]
    folders: dict[str, list[str]] = {}
    for folder, path in sorted(files):
        if path.is_file():
            folders.setdefault(str(folder), []).append(str(path))
    return list(folders.items())


setup(
    version=version(),
    packages=find_packages(include=["ocirt", "ocirt.*"]),
    package_data={"ocirt": ["py.typed"]},
    scripts=["csrc/command/command.c"],
    data_files=shared_files(),
    cffi_modules=["csrc/shim/build_shim.py:ffibuilder", "csrc/shim/build_seccomp.py:ffibuilder"],
    cmdclass={"build_py": BuildPackage, "build_ext": BuildExtensions, "build_scripts": BuildCommand},
    zip_safe=False,
)
