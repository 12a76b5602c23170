"""``linux.seccomp`` of a configuration -> a filter for seccomp(2), out of a cache of compiled filters where it can.

Compiling takes libseccomp some 15 ms for the profile of an engine, reading what was compiled before a fraction of one.
So the compiler (ocirt/seccomp_compiler.py), and libseccomp with it, is loaded only when the cache has nothing.

A filter is a security boundary: an entry that anybody else could have written, or that is not whole, is not used. And a
cache that fails costs time, nothing else: it is never a reason for a container to fail.

The name of an entry is the digest of all that decides what a profile compiles to. It holds::

    magic | digest | flags | size of library | size of program | library | program
    8       32       4       4                 4                                      bytes, integers little-endian

``digest`` is the BLAKE2b of what follows it, keyed with the entry's name. ``library`` is the path of the libseccomp
that made the filter with its inode, size and mtime: an update of the library may mend a wrong filter (CVE-2019-9893),
and ends the entries of the old one.
"""

from __future__ import annotations

import marshal
import os
import stat
from _blake2 import blake2b

from ocirt._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MAGIC = b"ocirtBPF"
CACHE_FORMAT = 2  # to be raised with every change of how a profile compiles or of what an entry looks like
MAX_ENTRIES = 64
MAX_ENTRY_BYTES = 1 << 16  # BPF_MAXINSNS instructions are half of it
DIGEST_BYTES = 32
# The same as in ocirt._seccomp, which is not loaded for this.
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1 << 2
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
INSTRUCTION_BYTES = 8
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Filter:
    """A filter in the form that seccomp(2) takes.

    ``program`` is an array of ``struct sock_filter`` (8 bytes each, host byte order), ``flags`` are the
    SECCOMP_FILTER_FLAG_* of SECCOMP_SET_MODE_FILTER. ``notify`` says that a rule has the action SCMP_ACT_NOTIFY: the
    flags then hold NEW_LISTENER, and the call returns the descriptor that goes to the agent at ``listenerPath``.
    """

    __slots__ = ("flags", "notify", "program")

    def __init__(self, program: bytes, flags: int, notify: bool) -> None:
        self.program = program
        self.flags = flags
        self.notify = notify


def container_filter(config: Mapping[str, Any], *, cache_directory: str) -> Filter | None:
    """The filter of a container of *config*, None for one without. The annotations are crun's: raw BPF takes the place
    of the profile, or the profile may have no name that libseccomp does not know. Raises as `compile_filter`."""
    from ocirt.config.words import FILTER_ANNOTATION

    profile = (config.get("linux") or {}).get("seccomp") or {}
    annotations = config.get("annotations") or {}
    if FILTER_ANNOTATION in annotations:
        return raw_filter(annotations[FILTER_ANNOTATION], profile)
    if not profile:
        return None
    strict = annotations.get("run.oci.seccomp_fail_unknown_syscall", "0") != "0"
    return compile_filter(profile, cache_directory=cache_directory, strict=strict)


def raw_filter(text: str, profile: Mapping[str, Any]) -> Filter:
    """The filter whose instructions are *text* in base64; of *profile* only the flags and the listener count."""
    from binascii import Error, a2b_base64

    from ocirt.config.words import FILTER_ANNOTATION, shown
    from ocirt.errors import ConfigError

    pointer = f"/annotations/{FILTER_ANNOTATION}"
    try:
        program = a2b_base64(text.encode(), strict_mode=True)
    except Error as error:
        raise ConfigError(f"wanted base64, found {shown(text)} ({error})", pointer=pointer) from None
    count, rest = divmod(len(program), INSTRUCTION_BYTES)
    if rest or not 0 < count <= MAX_INSTRUCTIONS:
        wanted = f"wanted 1 to {MAX_INSTRUCTIONS} BPF instructions of {INSTRUCTION_BYTES} bytes each"
        raise ConfigError(f"{wanted}, found {len(program)} bytes", pointer=pointer)
    notify = bool(profile.get("listenerPath"))
    flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW | (SECCOMP_FILTER_FLAG_NEW_LISTENER if notify else 0)
    if profile.get("flags") is not None:
        from ocirt.seccomp_compiler import flags_value

        flags = flags_value(profile["flags"], notify)
    return Filter(program, flags, notify)


def compile_filter(profile: Mapping[str, Any], *, cache_directory: str | None, strict: bool = False) -> Filter:
    """The filter of *profile*, a ``linux.seccomp`` object (config-linux.md#seccomp). With *strict*, a name that
    libseccomp does not know is a ConfigError.

    *cache_directory* is made, with mode 0700, if only its last component is missing; None means no cache. It must
    belong to the effective user and be writable by nobody else, or it is left alone.

    Raises ConfigError (with a pointer below /linux/seccomp) for a profile that the spec or the kernel forbids,
    UnsupportedError for one that this libseccomp or kernel cannot serve, StepError when libseccomp fails.
    """
    key = cache_key(profile, strict) if cache_directory is not None else None
    if cache_directory is not None and key is not None:
        cached = load(cache_directory, key)
        if cached is not None:
            return cached
    from ocirt import seccomp_compiler

    compiled = seccomp_compiler.compile_profile(profile, strict=strict)
    if cache_directory is not None and key is not None:
        store(cache_directory, key, compiled, seccomp_compiler.library_path())
    return compiled


def load(directory: str, key: bytes) -> Filter | None:
    """The filter kept under *key*, or None when there is none that can be trusted. Raises nothing."""
    try:
        directory_fd = open_private_directory(directory)
        try:
            return decode(read_private_file(directory_fd, key.hex()), key)
        finally:
            os.close(directory_fd)
    except OSError:
        return None


def store(directory: str, key: bytes, compiled: Filter, library_path: bytes) -> None:
    """Keeps *compiled*, made by the libseccomp in the file *library_path*, if it can. Raises nothing."""
    try:
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
        directory_fd = open_private_directory(directory)
        try:
            write_private_file(directory_fd, key.hex(), encode(compiled, key, library_path))
            remove_oldest(directory_fd)
        finally:
            os.close(directory_fd)
    except OSError:
        return


def cache_key(profile: Mapping[str, Any], strict: bool = False) -> bytes | None:
    """The digest of all that decides what *profile* compiles to, but for the library, which an entry names itself.

    marshal is the fastest injective form of JSON data that Python has; its version 2 depends on nothing but the values.
    None when *profile* holds something that JSON does not know.
    """
    kernel = os.uname()
    words = ("defaultAction", "defaultErrnoRet", "architectures", "flags", "syscalls")
    content = (
        *(CACHE_FORMAT, __version__, kernel.release, kernel.version, kernel.machine, strict),
        *(profile.get(word) for word in words),
    )
    try:
        canonical = marshal.dumps(content, 2)
    except ValueError:
        return None
    return blake2b(canonical, digest_size=DIGEST_BYTES).digest()


def library_record(path: bytes) -> bytes:
    """What *path* is and which file it is now; raises OSError."""
    info = os.stat(path)
    return b"%b\n%d %d %d %d" % (path, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)


def encode(compiled: Filter, key: bytes, library_path: bytes) -> bytes:
    library = library_record(library_path)
    sizes = (compiled.flags, len(library), len(compiled.program))
    body = b"".join(size.to_bytes(4, "little") for size in sizes) + library + compiled.program
    return MAGIC + blake2b(body, key=key, digest_size=DIGEST_BYTES).digest() + body


def decode(entry: bytes, key: bytes) -> Filter | None:
    """The filter of an entry, or None when the entry is damaged, another profile's or an other libseccomp's."""
    digest, body = entry[len(MAGIC) :][:DIGEST_BYTES], entry[len(MAGIC) + DIGEST_BYTES :]
    if not entry.startswith(MAGIC) or blake2b(body, key=key, digest_size=DIGEST_BYTES).digest() != digest:
        return None
    flags, library_size, program_size = (int.from_bytes(body[at : at + 4], "little") for at in (0, 4, 8))
    library, program = body[12:][:library_size], body[12 + library_size :]
    if len(program) != program_size or library_record(library.partition(b"\n")[0]) != library:
        return None
    return Filter(program, flags, bool(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))


def open_private_directory(path: str) -> int:
    """A descriptor of the directory *path*, which belongs to the effective user and which nobody else can write to."""
    directory_fd = os.open(path, DIRECTORY_FLAGS)
    info = os.fstat(directory_fd)
    if info.st_uid != os.geteuid() or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.close(directory_fd)
        raise PermissionError(path)
    return directory_fd


def read_private_file(directory_fd: int, name: str) -> bytes:
    """The content of a regular file of the effective user with mode 0600."""
    fd = os.open(name, READ_FLAGS, dir_fd=directory_fd)
    try:
        info = os.fstat(fd)
        if info.st_mode != stat.S_IFREG | 0o600 or info.st_uid != os.geteuid() or info.st_size > MAX_ENTRY_BYTES:
            raise PermissionError(name)
        return os.read(fd, MAX_ENTRY_BYTES)
    finally:
        os.close(fd)


def write_private_file(directory_fd: int, name: str, content: bytes) -> None:
    """Puts a file with mode 0600 in place of *name*; who reads it meanwhile sees the old one or the new one."""
    temporary = f".{name}.{os.urandom(8).hex()}"
    fd = os.open(temporary, CREATE_FLAGS, 0o600, dir_fd=directory_fd)
    try:
        try:
            os.fchmod(fd, 0o600)  # the umask may have taken bits
            if os.write(fd, content) != len(content):
                raise OSError(name)
        finally:
            os.close(fd)
        os.rename(temporary, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except OSError:
        os.unlink(temporary, dir_fd=directory_fd)
        raise


def remove_oldest(directory_fd: int) -> None:
    """Removes the oldest files of the directory until MAX_ENTRIES are left, an abandoned temporary file among them."""
    names = os.listdir(directory_fd)
    if len(names) <= MAX_ENTRIES:
        return
    ages = []
    for name in names:
        try:
            ages.append((os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_mtime_ns, name))
        except FileNotFoundError:  # another runtime removes the same ones
            continue
    for _, name in sorted(ages)[:-MAX_ENTRIES]:
        try:
            os.unlink(name, dir_fd=directory_fd)
        except OSError:
            continue
