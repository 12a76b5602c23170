"""The container reads the keys in the session keyring of whoever has started the runtime."""

from __future__ import annotations

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


def test_a_container_has_a_session_keyring_of_its_own(runtime: Runtime, bundle: Bundle) -> None:
    keys = runtime.probe(bundle, "cat", "/proc/keys")
    assert f"_ses.{runtime.token}-1" in keys


def test_the_callers_keyring_is_inherited_where_that_is_asked_for(runtime: Runtime, bundle: Bundle) -> None:
    keys = runtime.probe(bundle, "cat", "/proc/keys", flags=["--no-new-keyring"])
    assert f"_ses.{runtime.token}-1" not in keys


def test_exec_joins_a_keyring_of_the_containers_name(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    assert f"_ses.{container.id}" in container.probe("cat", "/proc/keys")
