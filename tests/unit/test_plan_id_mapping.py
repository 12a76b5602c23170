"""The mapping of a mount, out of its properties and its options."""

from __future__ import annotations

from typing import Any

import pytest

from ocirt.errors import ConfigError, UnsupportedError
from ocirt.plan import Compilation, Host
from ocirt.plan.id_mapping import id_map

OPTIONS = "/mounts/0/options"
#: Two mappings of the container, side by side in it and apart on the host.
CONTAINER = [
    {"containerID": 0, "hostID": 100000, "size": 10},
    {"containerID": 10, "hostID": 200000, "size": 10},
]
OWN = [{"containerID": 0, "hostID": 5, "size": 2}, {"containerID": 7, "hostID": 9, "size": 1}]


def compilation(*, userns: bool = True, privileged: bool = True) -> Compilation:
    linux: dict[str, Any] = {"namespaces": [{"type": "mount"}]}
    if userns:
        linux["namespaces"].append({"type": "user"})
        linux.update(uidMappings=CONTAINER, gidMappings=CONTAINER)
    return Compilation({"linux": linux, "root": {"path": "rootfs"}}, Host(privileged=privileged), id="box")


def maps(option: str | None, mount: dict[str, Any] | None = None, **facts: bool) -> tuple[str, str, bool] | None:
    found = id_map(compilation(**facts), mount or {}, option, OPTIONS)
    return None if found is None else (found.uids, found.gids, found.recursive)


def test_an_ordinary_mount_has_no_mapping() -> None:
    assert maps(None) is None


def test_the_mappings_of_the_mount_are_lines_as_of_uid_map() -> None:
    assert maps(None, {"uidMappings": OWN, "gidMappings": OWN[:1]}) == ("0 5 2\n7 9 1\n", "0 5 2\n", False)


def test_the_option_says_whether_the_tree_below_is_mapped() -> None:
    own = {"uidMappings": OWN, "gidMappings": OWN}
    assert [maps(option, own)[2] for option in ("idmap", "ridmap")] == [False, True]  # type: ignore[index]


def test_the_mappings_of_the_mount_go_before_those_of_the_option() -> None:
    assert maps("ridmap=uids=1-1-1;gids=1-1-1", {"uidMappings": OWN, "gidMappings": OWN}) == (
        "0 5 2\n7 9 1\n",
        "0 5 2\n7 9 1\n",
        True,
    )


def test_without_mappings_of_its_own_a_mount_has_those_of_the_container() -> None:
    assert maps("idmap") == ("", "", False)
    assert maps("ridmap") == ("", "", True)


def test_mappings_that_are_the_container_s_need_no_namespace_of_their_own() -> None:
    assert maps(None, {"uidMappings": CONTAINER, "gidMappings": CONTAINER}) == ("", "", False)


def test_triples_of_the_option_are_ids_of_the_filesystem_the_host_and_a_count() -> None:
    assert maps("idmap=uids=0-1-10#10-11-10;gids=0-3-10", userns=False) == ("0 1 10\n10 11 10\n", "0 3 10\n", False)


def test_behind_an_at_sign_ids_are_those_of_the_container() -> None:
    assert maps("idmap=uids=@0-2-3;gids=0-1-1#@5-11-2") == ("0 100002 3\n", "0 1 1\n5 200001 2\n", False)


def test_ids_of_the_container_may_lie_in_several_of_its_mappings() -> None:
    assert maps("idmap=uids=@0-8-5;gids=0-0-1") == ("0 100008 2\n2 200000 3\n", "0 0 1\n", False)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("idmap=users=0-0-1", 'wanted "uids=" or "gids="'),
        ("idmap=uids=0-0-1", 'wanted both "uids=" and "gids="'),
        ("idmap=uids=0-0;gids=0-0-1", "FILESYSTEM-HOST-SIZE"),
        ("idmap=uids=0-0-1-2;gids=0-0-1", "FILESYSTEM-HOST-SIZE"),
        ("idmap=uids=0-x-1;gids=0-0-1", "FILESYSTEM-HOST-SIZE"),
        ("idmap=uids=;gids=0-0-1", "FILESYSTEM-HOST-SIZE"),
        ("idmap=uids=@0-18-5;gids=0-0-1", "found 20, no id of uidMappings"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused(option: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as raised:
        maps(option)
    assert raised.value.pointer == OPTIONS


def test_only_the_host_s_root_maps_ids_of_mounts() -> None:
    with pytest.raises(UnsupportedError, match="an id-mapped mount"):
        maps("idmap", privileged=False)
