"""``process``: what the program is given and what is taken from it (config.md#process)."""

from __future__ import annotations

from ocirt.capabilities import mask
from ocirt.config.rules_process import GREATEST_CPU
from ocirt.config.words import FILTER_ANNOTATION, has_filter, parse_list
from ocirt.errors import ConfigError, UnsupportedError
from ocirt.plan.constants import RLIMITS
from ocirt.plan.namespaces import keeps_groups
from ocirt.plan.op import Op, Source, strings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.plan.op import Compilation

_UNLIMITED = (1 << 64) - 1
_ALL_CPUS = b"\xff" * ((GREATEST_CPU + 1) // 8)


def _process(c: Compilation) -> Any:
    return c.process


def _origin(c: Compilation, *names: str) -> str:
    """The pointer of a property of the process, "" where the document does not have it."""
    value = _process(c)
    for name in names:
        value = (value or {}).get(name)
    return "/".join((c.process_pointer, *names)) if value is not None else ""


def oom_score_adj(c: Compilation) -> list[Op]:
    value = _process(c).get("oomScoreAdj")
    if value is None:
        return []
    return [Op("OOM_SCORE_ADJ", f"set oom_score_adj to {value}", c.process_pointer + "/oomScoreAdj", text=str(value))]


def _limit(value: int) -> int:
    """RLIM_INFINITY is the largest number; configurations say it as that or as -1."""
    return value & _UNLIMITED


def raise_rlimits(c: Compilation) -> list[Op]:
    """In a user namespace a hard limit can only be lowered, so it is raised before. What cannot be had fails create,
    which undoes all, and not start."""
    ops = []
    for index, limit in enumerate(_process(c).get("rlimits") or ()):
        pointer = f"{c.process_pointer}/rlimits/{index}/hard"
        ops.append(
            Op(
                "RAISE_RLIMIT",
                f"raise the hard limit of {limit['type']} to {limit['hard']}",
                pointer,
                a=RLIMITS[limit["type"]],
                b=_limit(limit["hard"]),
            )
        )
    return ops


def clear_umask(c: Compilation) -> list[Op]:
    """Modes are meant as they are written until the program's own umask is set."""
    return [Op("UMASK", "clear umask while the container is set up", a=0)]


def session(c: Compilation) -> list[Op]:
    ops = [Op("SETSID", "create session")]
    if not c.no_new_keyring:
        optional = ("OPTIONAL",) if c.has_namespace("user") else ()
        ops.append(Op("SESSION_KEYRING", f"join session keyring _ses.{c.id}", text=f"_ses.{c.id}", flags=optional))
    return ops


def _size(c: Compilation) -> int:
    """Rows and columns as CONSOLE takes them, 0 for a terminal that keeps its size."""
    size = _process(c).get("consoleSize") or {}
    return int(size.get("height", 0)) << 16 | int(size.get("width", 0))


def console(c: Compilation) -> list[Op]:
    if not c.console:
        return []
    return [
        Op(
            "CONSOLE",
            "open the terminal and bind it to /dev/console",
            c.process_pointer + "/terminal",
            flags=("BIND_CONSOLE",),
            a=_size(c),
            sources=(Source("console"),),
        )
    ]


def exec_console(c: Compilation) -> list[Op]:
    if not c.console:
        return []
    return [
        Op("CONSOLE", "open the terminal", c.process_pointer + "/terminal", a=_size(c), sources=(Source("console"),))
    ]


def make_cwd(c: Compilation) -> list[Op]:
    """A working directory that is missing is made, as runc does for ``docker run --workdir``."""
    cwd = _process(c)["cwd"]
    if cwd == "/":
        return []
    return [Op("MKDIR", f"make working directory {cwd}", c.process_pointer + "/cwd", path=cwd, mode=0o755)]


def chdir(c: Compilation) -> list[Op]:
    cwd = _process(c)["cwd"]
    return [Op("CHDIR", f"change to working directory {cwd}", c.process_pointer + "/cwd", path=cwd)]


def environment(c: Compilation) -> list[str]:
    """``env`` with one entry per name: the last wins, as with runc."""
    last: dict[str, str] = {}
    for entry in _process(c).get("env") or ():
        last[entry.partition("=")[0]] = entry
    if last.get("HOME") == "HOME=":
        del last["HOME"]  # counts as absent: the one of /etc/passwd takes its place
    return list(last.values())


def _variable(c: Compilation, name: str) -> str | None:
    value = None
    for entry in _process(c).get("env") or ():
        if entry.startswith(name + "="):
            value = entry[len(name) + 1 :]
    return value


def lookup(c: Compilation) -> list[Op]:
    args = _process(c).get("args") or []
    if not args:
        raise ConfigError("the container has no program to run", pointer=c.process_pointer + "/args")
    program = args[0]
    return [
        Op(
            "LOOKUP",
            f"look up program {program}",
            c.process_pointer + "/args/0",
            text=program,
            path=_variable(c, "PATH") or "",
        )
    ]


def wait_start(c: Compilation) -> list[Op]:
    sources = (Source("listener"),) if c.detached else ()
    return [Op("WAIT_START", "wait for start", sources=sources)]


def reset_affinity(c: Compilation) -> list[Op]:
    """No process inherits the CPUs of the runtime's caller: it may use those of its cgroup, now and after an update."""
    flags = ("OPTIONAL", *_read_back(c))
    return [Op("CPU_AFFINITY", "allow all CPUs of the cgroup", data=_ALL_CPUS, flags=flags)]


def initial_affinity(c: Compilation) -> list[Op]:
    """For exec: before the process is in the container's cgroup (config.md#process, execCPUAffinity)."""
    return _affinity(c, "initial")


def final_affinity(c: Compilation) -> list[Op]:
    return _affinity(c, "final") or ([] if _affinity(c, "initial") else reset_affinity(c))


def _affinity(c: Compilation, name: str) -> list[Op]:
    """A process of its own document has the container's affinity, unless it says another."""
    own = _process(c).get("execCPUAffinity")
    affinity = own or (c.config.get("process") or {}).get("execCPUAffinity") or {}
    cpus = affinity.get(name)
    allowed = 0
    for first, last in parse_list(cpus or "", GREATEST_CPU):
        allowed |= (1 << last + 1) - (1 << first)
    if not allowed:
        return []
    pointer = f"{c.process_pointer if own else '/process'}/execCPUAffinity/{name}"
    data = allowed.to_bytes((allowed.bit_length() + 63) // 64 * 8, "little")
    return [Op("CPU_AFFINITY", f"set the {name} CPU affinity to {cpus}", pointer, data=data, flags=_read_back(c))]


def _read_back(c: Compilation) -> tuple[str, ...]:
    return ("READ_BACK",) if c.is_traced else ()


def rlimits(c: Compilation) -> list[Op]:
    ops = []
    for index, limit in enumerate(_process(c).get("rlimits") or ()):
        step = f"set {limit['type']} to {limit['soft']} (hard {limit['hard']})"
        pointer = f"{c.process_pointer}/rlimits/{index}"
        ops.append(
            Op("RLIMIT", step, pointer, a=RLIMITS[limit["type"]], b=_limit(limit["soft"]), c=_limit(limit["hard"]))
        )
    return ops


def _user(c: Compilation) -> Any:
    return _process(c).get("user") or {}


def ownership(c: Compilation) -> list[Op]:
    """stdio belongs to the user, HOME is the user's, new files get the user's umask."""
    user = _user(c)
    uid = user.get("uid", 0)
    umask = user.get("umask", 0o022)
    ops = [
        Op("STDIO_OWNER", f"give stdio to user {uid}", _origin(c, "user"), a=uid),
        Op("UMASK", f"set umask {umask:04o}", _origin(c, "user", "umask"), a=umask),
    ]
    if not _variable(c, "HOME"):
        ops.append(Op("HOME", f"set HOME of user {uid} from /etc/passwd", _origin(c, "user", "uid"), a=uid))
    return ops


def labels(c: Compilation) -> list[Op]:
    """Labels of the security modules take effect at execve(2)."""
    process = _process(c)
    ops = []
    if process.get("apparmorProfile"):
        pointer = c.process_pointer + "/apparmorProfile"
        if not c.host.apparmor:
            raise UnsupportedError("an AppArmor profile", "a kernel with AppArmor enabled", pointer=pointer)
        profile = process["apparmorProfile"]
        ops.append(
            Op("LSM_LABEL", f"set AppArmor profile {profile}", pointer, path="apparmor/exec", text="exec " + profile)
        )
    if process.get("selinuxLabel"):
        pointer = c.process_pointer + "/selinuxLabel"
        if not c.host.selinux:
            raise UnsupportedError("an SELinux label", "a kernel with SELinux enabled", pointer=pointer)
        ops.append(
            Op(
                "LSM_LABEL",
                f"set SELinux label {process['selinuxLabel']}",
                pointer,
                path="exec",
                text=process["selinuxLabel"],
            )
        )
    return ops


def _mask(c: Compilation, set_name: str) -> int:
    """Only what there is to give: "Runtimes SHOULD NOT fail if the container configuration requests capabilities that
    cannot be granted" (config.md#linux-process). A new user namespace starts with all of them."""
    asked = mask((_process(c).get("capabilities") or {}).get(set_name) or ())
    granted = asked if c.has_namespace("user") else asked & c.host.capabilities
    if asked != granted and set_name == "bounding":
        names = ", ".join(
            name for name in _process(c)["capabilities"]["bounding"] if mask((name,)) & ~c.host.capabilities
        )
        c.warnings.append(f"ignoring capabilities that the runtime does not have: {names}")
    return granted


def credentials(c: Compilation) -> list[Op]:
    """no_new_privs, bounding set, ids, filter and capabilities, the filter as late as it can be loaded.

    Without no_new_privs, loading a filter needs CAP_SYS_ADMIN, so capset(2) is left to do under it; with it, nothing
    but execve(2) is.
    """
    process = _process(c)
    pointer = c.process_pointer
    user = _user(c)
    uid, gid = user.get("uid", 0), user.get("gid", 0)
    gids = user.get("additionalGids") or []
    no_new_privileges = bool(process.get("noNewPrivileges"))
    ops = []
    if no_new_privileges:
        ops.append(Op("NO_NEW_PRIVS", "set no_new_privs", pointer + "/noNewPrivileges"))
    said = f", groups {' '.join(map(str, gids))}" if gids else ""
    denied = not c.host.privileged or c.host.denies_groups
    keep: tuple[str, ...] = ("KEEP_GROUPS",) if denied and not gids else ()
    if keeps_groups(c):
        keep, gids, said = ("KEEP_GROUPS",), [], ", with the groups of the runtime"
    ops += [
        Op(
            "BOUNDING_SET",
            "set the bounding capabilities",
            _origin(c, "capabilities", "bounding"),
            a=_mask(c, "bounding"),
        ),
        Op(
            "USER",
            f"become user {uid}:{gid}{said}",
            _origin(c, "user"),
            a=uid,
            b=gid,
            data=b"".join(g.to_bytes(4, "little") for g in gids),
            flags=keep,
        ),
    ]
    late_chdir = Op(
        "CHDIR",
        f"change to working directory {process['cwd']}, as the user where root could not",
        pointer + "/cwd",
        path=process["cwd"],
        flags=("RETRY",),
    )
    ops.append(late_chdir)
    # A capability can be ambient only where it is permitted and inheritable (capabilities(7)); config.rules warns of
    # others.
    ambient = _mask(c, "ambient") & _mask(c, "permitted") & _mask(c, "inheritable")
    origin = _origin(c, "capabilities", "ambient")
    ops.append(Op("AMBIENT", "set ambient capabilities", origin, a=ambient, b=_mask(c, "inheritable")))
    final = Op(
        "CAPABILITIES",
        "set effective, permitted and inheritable capabilities",
        _origin(c, "capabilities"),
        a=_mask(c, "effective"),
        b=_mask(c, "permitted"),
        c=_mask(c, "inheritable"),
    )
    return [*ops, final, *seccomp(c)] if no_new_privileges else [*ops, *seccomp(c), final]


def seccomp(c: Compilation) -> list[Op]:
    if not has_filter(c.config):
        return []
    origin = f"/annotations/{FILTER_ANNOTATION}" if FILTER_ANNOTATION in c.annotations else "/linux/seccomp"
    found: Any = c.filter
    if found is None:
        return [Op("SECCOMP", "load the seccomp filter", origin)]
    step = f"load the seccomp filter of {len(found.program) // 8} instructions"
    agent = None
    if found.notify:
        profile = c.linux["seccomp"]
        agent = {"listenerPath": profile["listenerPath"], "listenerMetadata": profile.get("listenerMetadata")}
        step += " and bring its listener to the agent"
    return [Op("SECCOMP", step, origin, data=found.program, a=found.flags, value=agent)]


def close(c: Compilation) -> list[Op]:
    """Before the filter, which may refuse close_range(2)."""
    return [Op("CLOSE_FDS", f"close all descriptors from {3 + c.preserve_fds} on", a=c.preserve_fds)]


def execute(c: Compilation) -> list[Op]:
    args = _process(c)["args"]
    env = environment(c)
    return [
        Op(
            "EXECVE",
            f"execute {args[0]}",
            c.process_pointer + "/args",
            data=strings(*args, *env),
            a=len(args),
            b=len(env),
        )
    ]
