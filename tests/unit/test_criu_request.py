"""What criu is asked for, of which configuration and which options; what is refused; what its log says."""

from __future__ import annotations

from typing import Any

import pytest

from ocirt.criu import request
from ocirt.criu.options import CriuOptions
from ocirt.criu.program import errors_of, failure
from ocirt.criu.streams import Streams
from ocirt.errors import ConfigError, OcirtError, UnsupportedError
from ocirt.plan import Compilation, Host

OWN = [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]


def compilation(**config: Any) -> Compilation:
    linux = {"namespaces": OWN, **config.pop("linux", {})}
    return Compilation(
        {"root": {"path": "rootfs"}, "linux": linux, **config}, Host(), id="box", bundle="/b", rootfs="/b/r"
    )


def bind(destination: str, source: str = "/src", *options: str, **more: Any) -> dict[str, Any]:
    return {"destination": destination, "source": source, "options": ["bind", *options], **more}


def test_a_bind_mount_has_the_name_of_its_destination() -> None:
    found = request.externals(compilation(mounts=[bind("/data//x/", "relative", "ro", "nosuid")]))
    assert request.restored_mounts(found, str) == [{"key": "/data/x", "val": "/b/relative"}]
    assert (found[0].attributes, found[0].tree_attributes) == (3, 0)


def test_what_is_no_mount_of_the_hosts_is_left_to_criu() -> None:
    c = compilation(mounts=[{"destination": "/t", "type": "tmpfs"}, {"destination": "/proc", "type": "proc"}])
    assert request.externals(c) == []


def test_a_dumped_mount_is_where_it_is_now() -> None:
    found = request.externals(compilation(mounts=[bind("/data"), bind("/gone")]))
    places = {"/data": "/moved/data"}
    pairs = request.dumped_mounts(found, lambda external: places.get(external.destination))
    assert pairs == [{"key": "/moved/data", "val": "/data"}]


def test_masked_files_have_one_name() -> None:
    found = request.externals(compilation(linux={"maskedPaths": ["/proc/kcore", "/proc/keys"]}))
    assert request.restored_mounts(found, str) == [{"key": "/dev/null", "val": "/dev/null"}]
    assert [external.attributes for external in found] == [1, 1]


def test_devices_of_a_user_namespace_are_the_hosts() -> None:
    c = compilation(linux={"namespaces": [*OWN, {"type": "user"}]})
    pairs = request.restored_mounts(request.externals(c), str)
    assert {"key": "/dev/null", "val": "/dev/null"} in pairs
    assert {"key": "/dev/tty", "val": "/dev/tty"} in pairs


@pytest.mark.parametrize(
    ("destination", "source", "place"),
    [("/a]:/etc", "/src", "/a"), ("/data", "/src]:/etc", "/data"), ("/data", "/src", "/a]:/etc")],
    ids=["destination", "source", "mount-point"],
)
def test_brackets_that_criu_would_misread_are_refused(destination: str, source: str, place: str) -> None:
    def pairs() -> None:
        found = request.externals(compilation(mounts=[bind(destination, source)]))
        request.restored_mounts(found, str)
        request.dumped_mounts(found, lambda external: place)

    with pytest.raises(UnsupportedError, match=r"\]:.*config.json#/mounts/0"):
        pairs()


def test_mapped_mounts_are_refused() -> None:
    mapping = [{"containerID": 0, "hostID": 1000, "size": 1}]
    mount = bind("/data", "/src", uidMappings=mapping, gidMappings=mapping)
    with pytest.raises(UnsupportedError, match="id mappings"):
        request.externals(compilation(mounts=[mount]))


def test_mounts_of_descriptors_are_refused() -> None:
    c = compilation(mounts=[bind("/data")])
    c.mount_fds = {"/data": 5}
    with pytest.raises(UnsupportedError, match="not of descriptors"):
        request.externals(c)


@pytest.mark.parametrize("option", ["src-nofollow", "dest-nofollow"])
def test_mounts_of_links_are_refused(option: str) -> None:
    with pytest.raises(UnsupportedError, match="follow symbolic links"):
        request.externals(compilation(mounts=[bind("/data", "/src", option)]))


@pytest.mark.parametrize(
    ("linux", "text"),
    [
        ({"namespaces": OWN[1:]}, "a pid namespace: the container is in the host's"),
        ({"namespaces": OWN[:-1]}, "a mount namespace: the container is in the host's"),
        ({"namespaces": [*OWN, {"type": "cgroup", "path": "/ns"}]}, "a cgroup namespace of its own, found that of /ns"),
        ({"namespaces": [*OWN[:-1], {"type": "mount", "path": "/ns"}]}, "a mount namespace of its own"),
        ({"seccomp": {"syscalls": [{"action": "SCMP_ACT_NOTIFY"}]}}, "without SCMP_ACT_NOTIFY"),
    ],
    ids=["no-pid", "no-mount", "cgroup-joined", "mount-joined", "notify"],
)
def test_what_criu_cannot_save_is_refused(linux: dict[str, Any], text: str) -> None:
    with pytest.raises(UnsupportedError, match=text):
        request.refuse(compilation(linux=linux))


def test_an_ordinary_container_is_not_refused() -> None:
    request.refuse(compilation())
    request.refuse(compilation(linux={"namespaces": [*OWN[1:], {"type": "pid", "path": "/ns"}]}))


def test_namespaces_that_were_joined() -> None:
    namespaces = [{"type": "network", "path": "/n"}, {"type": "pid", "path": "/p"}, {"type": "ipc", "path": "/i"}]
    c = compilation(linux={"namespaces": [*namespaces, {"type": "mount"}]})
    names = request.external_namespaces(c, {"net": 11, "pid": 12}.__getitem__)
    assert names == ["net[11]:extRootNetNS", "pid[12]:extRootPidNS"]
    inherited, joined = request.joined_namespaces(c)
    assert [(path, key) for path, key, _ in inherited] == [("/n", "extRootNetNS"), ("/p", "extRootPidNS")]
    assert joined == [("/i", "ipc", "/linux/namespaces/2")]


def test_options_of_a_checkpoint() -> None:
    options = CriuOptions(
        "/images", parent_path="../parent", leave_running=True, page_server=("::1", 5), manage_cgroups_mode="full"
    )
    fields = request.dump_options(options)
    assert fields["parent_img"] == "../parent"
    assert fields["track_mem"]
    assert fields["leave_running"]
    assert fields["ps"] == {"address": "::1", "port": 5}
    assert fields["manage_cgroups_mode"] == 4
    assert "track_mem" not in request.dump_options(CriuOptions("/images"))
    assert request.dump_options(CriuOptions("/images"))["manage_cgroups_mode"] == 6


def test_options_of_a_restore() -> None:
    fields = request.restore_options(CriuOptions("/images", lsm_profile="apparmor:x", lsm_mount_context="c"))
    assert (fields["lsm_profile"], fields["lsm_mount_context"], fields["rst_sibling"]) == ("apparmor:x", "c", True)
    assert "lsm_profile" not in request.restore_options(CriuOptions("/images"))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"manage_cgroups_mode": "x"}, "invalid manage-cgroups-mode value: x"),
        ({"empty_namespaces": ["ipc"]}, '"ipc" is not supported'),
        ({"lsm_profile": "name"}, "invalid lsm-profile value: name"),
        ({"lsm_profile": "apparmor:"}, "invalid lsm-profile value"),
        ({"status_fd": 1 << 20}, "invalid --status-fd argument"),
    ],
)
def test_options_that_cannot_be_meant(values: dict[str, Any], text: str) -> None:
    with pytest.raises(OcirtError, match=text):
        CriuOptions("/images", **values).check()


def test_which_configuration_file_criu_gets() -> None:
    def file_of(annotations: dict[str, str], *existing: str) -> str | None:
        return request.config_file(compilation(annotations=annotations), lambda path: path in existing)

    ours, theirs = "/etc/criu/ocirt.conf", "/etc/criu/runc.conf"
    assert file_of({}) is None
    assert file_of({}, ours, theirs) == ours
    assert file_of({}, theirs) == theirs
    assert file_of({"org.criu.config": ""}, ours) is None
    assert file_of({"org.criu.config": "/own"}, ours) == "/own"
    with pytest.raises(ConfigError, match="wanted an absolute path"):
        file_of({"org.criu.config": "own"})


LOG = """\
(00.000001) Version: 4.2 (gitid 0)
(00.025850) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.031000) Warn  (criu/kerndat.c:1): something else
(00.045850)      1: Error (criu/files-reg.c:1790): Can't lookup mount=259 for fd=0 path=/null
(00.045851) Error (criu/cr-dump.c:1698): Dump files (pid: 5) failed with -1
(00.045851) Error (criu/cr-dump.c:1698): Dump files (pid: 5) failed with -1
(00.045852) Error (criu/cr-dump.c:2128): Dumping FAILED.
"""


def test_the_errors_of_a_log() -> None:
    assert errors_of(LOG) == [
        "Can't lookup mount=259 for fd=0 path=/null (criu/files-reg.c:1790)",
        "Dump files (pid: 5) failed with -1 (criu/cr-dump.c:1698)",
        "Dumping FAILED. (criu/cr-dump.c:2128)",
    ]
    assert errors_of("nothing") == []


def test_a_failure_has_the_first_error_and_the_place_of_the_log() -> None:
    error = failure("checkpoint", "no reason", LOG, "/there/dump.log")
    cause = "Can't lookup mount=259 for fd=0 path=/null (criu/files-reg.c:1790)"
    assert str(error) == f"criu cannot checkpoint the container: {cause} (log: /there/dump.log)"
    assert error.__notes__[-1] == "criu: Dumping FAILED. (criu/cr-dump.c:2128)"
    assert "no reason" in str(failure("checkpoint", "no reason", "", "/x"))


def test_streams_that_images_may_name() -> None:
    """Nothing but pipes and files take a place, and only those of the three standard streams."""
    streams = Streams(
        ["pipe:[12]", "/dev/pts/0", "file[2c:3f]"], [(1, "file[1:2]"), (2, "pipe:[x]"), (0, "extRootNetNS")]
    )
    assert streams.inherited() == [("pipe:[12]", 0), ("file[2c:3f]", 2), ("file[1:2]", 1)]
    assert Streams(["file[1:2:3]", "file[]", "pipe:[]"], []).inherited() == []
