"""cgroupsPath with systemd: names of scopes, and where slices are in the tree."""

from __future__ import annotations

import pytest

from ocirt.cgroup.unit_name import expand_slice, unit_name
from ocirt.errors import ConfigError

PATHS = [
    ("system.slice:docker:1234", "docker-1234.scope", "/system.slice/docker-1234.scope"),
    ("a-b-c.slice:p:n", "p-n.scope", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
    ("-.slice:p:n", "p-n.scope", "/p-n.scope"),
    (":p:n", "p-n.scope", "/default.slice/p-n.scope"),
    ("x\\x2dy.slice:p:n", "p-n.scope", "/x\\x2dy.slice/p-n.scope"),
    (None, "ocirt-box.scope", "/default.slice/ocirt-box.scope"),
    ("", "ocirt-box.scope", "/default.slice/ocirt-box.scope"),
]


@pytest.mark.parametrize(("cgroups_path", "unit", "path"), PATHS, ids=[str(path) for path, _, _ in PATHS])
def test_a_path_is_a_scope_in_a_slice(cgroups_path: str | None, unit: str, path: str) -> None:
    name = unit_name(cgroups_path, "box", "default.slice")
    assert (name.unit, name.path) == (unit, path)


def test_an_id_that_no_unit_can_be_called_by_is_escaped_as_systemd_does_it() -> None:
    assert unit_name(None, "a+b,c", "system.slice").unit == "ocirt-a\\x2bb\\x2cc.scope"


@pytest.mark.parametrize("path", ["/a/b", "a:b", "a:b:c:d", "system.slice"])
def test_a_path_of_another_form_is_refused_in_the_words_of_runc(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        unit_name(path, "box", "system.slice")
    assert caught.value.pointer == "/linux/cgroupsPath"
    assert (
        caught.value.message
        == f'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "{path}" instead'
    )


@pytest.mark.parametrize(
    "slice", ["a", ".slice", "a.scope", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice", "..slice/"]
)
def test_what_is_no_slice_is_refused(slice: str) -> None:
    with pytest.raises(ConfigError, match="invalid slice name: "):
        unit_name(f"{slice}:p:n", "box", "system.slice")


@pytest.mark.parametrize("path", ["a.slice:p:n/../m", "a.slice:p:", "a.slice:p@q:n", "a.slice:p:n m"])
def test_what_is_no_unit_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="wanted the name of a systemd unit, found "):
        unit_name(path, "box", "system.slice")


def test_a_slice_is_not_taken_for_a_container() -> None:
    with pytest.raises(ConfigError, match=r"wanted the name of a scope, found the slice 'b\.slice'"):
        unit_name("a.slice:p:b.slice", "box", "system.slice")


def test_the_root_slice_is_the_root() -> None:
    assert expand_slice("-.slice") == "/"
