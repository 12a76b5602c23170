#!/bin/bash
# Installs the Debian packages that ocirt is built from, as far as they are missing.
#
#     packaging/debian.sh PYTHON [busybox] [tests] [engines]
#
# PYTHON is the interpreter that ocirt will run in. "busybox" adds what the demonstration needs, "tests" what the tests
# call besides, "engines" the container engines that tests/engines drives, with what they want beside them. What is there
# already, from a package or not, is left alone: everything is probed by using it.
set -euo pipefail

python=$1
shift
wanted=" $* "
missing=()
named=()

# need PACKAGE WHAT PROBE...: PROBE succeeds where WHAT is there.
need() {
	local package=$1 what=$2
	shift 2
	if ! "$@" >/dev/null 2>&1; then
		missing+=("$package")
		named+=("$what ($package)")
	fi
}

compiles() {
	printf '#include <%s>\n' "$1" | cc -fsyntax-only "-I$include" -x c -
}

is_static() {
	local program
	program=$(command -v "$1") && ! ldd "$program"
}

if ! command -v "$python" >/dev/null; then
	need python3 "Python 3.11 or newer" false
	need python3-dev "Python.h" false
	need python3-venv "the venv module of Python" false
	include=/usr/include
else
	"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
		echo "ocirt needs Python 3.11 or newer, and $(command -v "$python") is $("$python" --version)" >&2
		exit 1
	}
	include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
	need python3-dev "Python.h of $(command -v "$python")" test -e "$include/Python.h"
	[[ -n ${VIRTUAL_ENV:-} ]] || need python3-venv "the venv module of Python" "$python" -c 'import ensurepip, venv'
fi
need make "make" command -v make
need gcc "a C compiler" command -v cc
need libc6-dev "the headers of the C library" compiles stdlib.h
need libseccomp-dev "seccomp.h" compiles seccomp.h
case $wanted in *" busybox "*)
	need busybox-static "a static busybox" is_static busybox
	;;
esac
case $wanted in *" tests "*)
	need git "git" command -v git
	need procps "ps" command -v ps
	need util-linux "unshare" command -v unshare
	need iproute2 "ip" command -v ip
	;;
esac
case $wanted in *" engines "*)
	need podman "podman" command -v podman
	need buildah "buildah" command -v buildah
	need containerd "containerd" command -v containerd
	need docker.io "dockerd" command -v dockerd
	need runc "runc" command -v runc
	need iptables "iptables" command -v iptables
	need containernetworking-plugins "the CNI plugins" test -e /usr/lib/cni/bridge
	;;
esac

[[ ${#missing[@]} -gt 0 ]] || exit 0

echo "Missing here: $(printf '%s, ' "${named[@]}" | sed 's/, $//')"
if ! command -v apt-get >/dev/null; then
	echo "This is not Debian, or a child of it: please install what is missing with this system's own means." >&2
	exit 1
fi
if [[ $(id -u) -ne 0 ]]; then
	echo "Installing packages needs root. As root: apt-get install ${missing[*]}" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "${missing[@]}"
if [[ " ${missing[*]} " == *" python3-dev "* && $include != /usr/include/* && ! -e $include/Python.h ]]; then
	echo "$(command -v "$python") is not Debian's Python and has no headers in $include: install them, or use /usr/bin/python3" >&2
	exit 1
fi
