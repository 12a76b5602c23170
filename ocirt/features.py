"""What this ocirt does -> the features structure (features.md, features-linux.md) that ``ocirt features`` prints.

Engines decide by it: dockerd makes a read-only bind mount recursive when ``rro`` is listed, containerd asks about
idmapped mounts. So nothing is listed that a plan would refuse. And but for ``supportedFlags`` it is about ocirt, not
about the machine it runs on: "The Features structure is irrelevant to the actual availability of the features in the
host operating system."
"""

from __future__ import annotations

from ocirt._version import __version__, oci_version
from ocirt.config.words import ANNOTATIONS, CAPABILITIES, HOOK_KINDS
from ocirt.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.config.types import Features, LinuxFeatures, SeccompFeatures

NAMESPACES = ("cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts")


def features() -> Features:
    """The features structure, in the order in which the spec describes it."""
    from ocirt.plan.mount_options import OPTION_WORDS

    annotations = {
        "dev.ocirt.version": __version__,
        "org.opencontainers.runc.checkpoint.enabled": "true",
    }
    seccomp, library_version = seccomp_features()
    if library_version is not None:
        annotations["io.github.seccomp.libseccomp.version"] = library_version
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": oci_version,
        "hooks": list(HOOK_KINDS),
        "mountOptions": list(OPTION_WORDS),
        "linux": linux_features(seccomp),
        "annotations": annotations,
        "potentiallyUnsafeConfigAnnotations": list(ANNOTATIONS),
    }


def linux_features(seccomp: SeccompFeatures) -> LinuxFeatures:
    from ocirt.plan.constants import MEMORY_POLICY_FLAGS
    from ocirt.plan.scheduling import MODES

    return {
        "namespaces": list(NAMESPACES),
        "capabilities": list(CAPABILITIES),
        "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
        "seccomp": seccomp,
        "apparmor": {"enabled": True},
        "selinux": {"enabled": True},
        "memoryPolicy": {"modes": sorted(MODES), "flags": sorted(MEMORY_POLICY_FLAGS)},
        "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
        "mountExtensions": {"idmap": {"enabled": True}},
        "netDevices": {"enabled": True},
    }


def seccomp_features() -> tuple[SeccompFeatures, str | None]:
    """The object ``seccomp`` and the version of libseccomp, None where it cannot be loaded."""
    try:
        from ocirt import seccomp_compiler
    except UnsupportedError:
        return {"enabled": False}, None
    flags = list(seccomp_compiler.FLAGS)
    return {
        "enabled": True,
        "actions": list(seccomp_compiler.ACTIONS),
        "operators": list(seccomp_compiler.OPERATORS),
        "archs": seccomp_compiler.known_architectures(),
        "knownFlags": flags,
        "supportedFlags": [word for word in flags if seccomp_compiler.flag_supported(word)],
    }, seccomp_compiler.library_version()
