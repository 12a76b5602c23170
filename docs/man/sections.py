"""What the manual pages say beyond the tables behind ``--help``: page -> sections of (title, text).

A text is paragraphs with a blank line between; a paragraph whose lines begin with blanks is shown as it is, and one
that begins with "NAME: " is an entry of a list.
"""

from __future__ import annotations

ABOUT = """\
ocirt runs containers as the Open Container Initiative describes them: a bundle, which is a directory with a root
filesystem and the file config.json, becomes a running, isolated process. It takes the place of runc(8) below podman(1),
containerd(8), dockerd(8) and Kubernetes, and works by hand.

A container is created, which does everything but executing its program; started; and deleted once it has stopped. The
command run does it all in one.

Options are written with one dash or two, and their value behind a blank or an equals sign. Short ones do not combine.
Global options come before the command."""

EXIT_STATUS = """\
0: done

1: failed, or the words cannot be understood

3: there is no such command"""

PAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        (
            "EXIT STATUS",
            EXIT_STATUS
            + """

255: exec failed before its process ran

run and exec end with the status of the process, or with 128 and the number of the signal that ended it.""",
        ),
        (
            "ERRORS",
            """\
An error is one line that names the step, what the kernel said, and the property of config.json that asked for the step:

    cannot mount tmpfs on /dev/shm: no space left on device (config.json#/mounts/4)

A second line "hint: ..." follows where the kernel's words mislead. With --log, the line is appended to that file as
well. With
--debug, every step is logged with the time that it took.""",
        ),
        (
            "ANNOTATIONS",
            """\
These members of annotations change what ocirt does; a relative path is the bundle's. They are crun's, but for the last.

run.oci.hooks.stdout, run.oci.hooks.stderr: a file; what hooks of all kinds write is added to its end. It is made with
mode 0600.

run.oci.delegate-cgroup: a path below the container's cgroup, on cgroup v2. The container's process is in that cgroup,
which it may manage and which has no limits of its own; a cgroup namespace still begins above it.

run.oci.keep_original_groups: unless "0", processes keep the supplementary groups of the caller instead of getting those
of process.user.

run.oci.mount_context_type: the option of mount(8) that linux.mountLabel becomes: context, defcontext, fscontext or
rootcontext

run.oci.pidfd_receiver: a socket that gets a pidfd of the container's process from create and run

run.oci.seccomp_bpf_data: the instructions of a filter, as seccomp(2) takes them, in base64. It takes the place of
linux.seccomp, of which the flags and the listener still count.

run.oci.seccomp_fail_unknown_syscall: unless "0", linux.seccomp may have no system call that libseccomp does not know.

run.oci.systemd.subgroup: with --systemd-cgroup, the name of a cgroup below that of the unit, on cgroup v2: the
container's process is in it, and it is what a cgroup namespace begins at.

org.systemd.property.NAME: with --systemd-cgroup, a property of the container's unit, in GVariant text""",
        ),
        (
            "FILES",
            """\
/run/ocirt/ID/: the state of a container: state.json, config.json as it was when the container was created, and until it
is started start.json and start.sock

/run/ocirt/@seccomp/: compiled seccomp filters. They may be removed at any time.

/run/ocirt-snapshots/, /run/user/UID/ocirt-snapshots/: the memory of the command with all that it has imported, in which
later commands begin. The files may be removed at any time.""",
        ),
        (
            "ENVIRONMENT",
            """\
XDG_RUNTIME_DIR: for a user other than root, and in a user namespace, the state is below $XDG_RUNTIME_DIR/ocirt.

LISTEN_FDS, LISTEN_FDNAMES: sockets of an activated service (sd_listen_fds(3)) are passed to the program of run and
create.

NOTIFY_SOCKET: the container gets a socket of its own under this name, at which it can say that it is ready
(sd_notify(3)). start, and run, wait for that and pass it on to the socket that the variable names, with the pid to
watch.

Nothing else is read; above all no variable changes which Python code runs.""",
        ),
        (
            "NOTES",
            "Linux 5.14 or newer is needed. docs/runc-differences.md of the source lists what is not as with runc.",
        ),
    ),
    "create": (
        (
            "NOTES",
            """\
The container's process is a child of the caller, and when ocirt ends, of whoever reaps the caller's orphans. The pid
file is written last: once it is there the container is created.

Changes of the bundle after create have no effect on the container.""",
        ),
    ),
    "run": (
        (
            "EXIT STATUS",
            "That of the process, or 128 and the number of the signal that ended it; 1 when it could not be started.",
        ),
    ),
    "exec": (
        (
            "EXIT STATUS",
            "That of the process, or 128 and the number of the signal that ended it; 255 when it could not be started.",
        ),
        (
            "NOTES",
            """\
The process enters the namespaces and the cgroup of the container, and gets what the container's own process has: its
capabilities, limits, labels and the seccomp filter of config.json, unless an option or the document says otherwise.""",
        ),
    ),
    "delete": (
        (
            "NOTES",
            """\
Only what create made is removed: namespaces and cgroups that were there before stay. The poststop hooks run; one that
fails is a warning.

With --force a container that does not exist is no error.""",
        ),
    ),
    "kill": (
        (
            "NOTES",
            """\
SIGKILL also ends a paused container. Where the container shares the PID namespace of the host, it ends all processes in
the container's cgroup.""",
        ),
    ),
    "plan": (
        (
            "OUTPUT",
            """\
One line for each step, in four columns:

number: counted from 0

where: "host" for what the runtime does, "init" for what ocirt-init does, the process that becomes the container's
program

step: what is done

origin: the JSON pointer of the property that asks for it; nothing where every container has the step

The host is looked at, since the steps depend on its cgroups and its kernel, but nothing is changed and no privilege is
needed. With --json the same as an array of objects with the members where, step and origin.""",
        ),
    ),
    "state": (
        (
            "OUTPUT",
            """\
ociVersion, id, pid, status, bundle, annotations: as in the runtime specification

rootfs, created, owner: further members, as runc(8) has them""",
        ),
    ),
    "features": (
        (
            "NOTES",
            """\
The document is that of features.md in the runtime specification. It says what ocirt can do, whatever the kernel
can.""",
        ),
    ),
    "update": (
        (
            "NOTES",
            """\
The saved configuration of the container is changed too. Between the steps of an update that fails the container may
have some of the new limits; then the old ones are put back.""",
        ),
    ),
}
