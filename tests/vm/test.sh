#!/bin/bash
# `make test-vm`: runs the tests that want systemd, cgroup v2 alone and AppArmor in a guest that has them.
#
#     tests/vm/test.sh PYTHON [ARGUMENT OF PYTEST...]
#
# PYTHON is an interpreter with pip. What goes to the guest is gathered in build/vm: this tree, as git sees it, and the
# packages that the tests need, since the guest has no network. OCIRT_VM_LIMIT is how many seconds the guest may take;
# with OCIRT_VM_AGAIN=1, tests that fail are run once more, and only those that fail again count.
#
# The exit status is that of pytest; 124: the guest has taken too long; 125: there is none, or not what the tests need, or
# it has failed before ocirt was built there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=$1
shift
share=$PWD/build/vm

trap 'exit 125' ERR
tests/vm/vm check
unshare --mount tests/vm/vm build # what it mounts ends with it, also when it is killed
mkdir -p "$share"
rm -f "$share/begun"
if [[ ! -e $share/packages.tar || pyproject.toml -nt $share/packages.tar || $0 -nt $share/packages.tar ]]; then
	echo "Fetching the packages that the tests need, for the guest"
	work=$(mktemp -d)
	chmod 755 "$work" # tar keeps the mode, and the user of the guest reads there too
	trap 'rm -rf "$work"' EXIT
	mapfile -t packages < <("$python" -c '
import tomllib
read = tomllib.load(open("pyproject.toml", "rb"))
project = read["project"]
print(*read["build-system"]["requires"], *project["dependencies"], *project["optional-dependencies"]["test"], sep="\n")')
	# For the Python and the C library of Debian 12.
	"$python" -m pip --disable-pip-version-check -qq install --target "$work" --only-binary :all: \
		--python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
		--platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 \
		--platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform any pip "${packages[@]}"
	tar --create --file "$share/packages.tar.new" -C "$work" .
	mv "$share/packages.tar.new" "$share/packages.tar"
fi
git ls-files --cached --others --exclude-standard -z |
	tar --create --file "$share/ocirt.tar" --ignore-failed-read --null --files-from -

trap - ERR
status=0
tests/vm/vm run --timeout "${OCIRT_VM_LIMIT:-3600}" --dir "$share" -- \
	OCIRT_VM_AGAIN="${OCIRT_VM_AGAIN:-}" sh -euc 'mkdir /opt/ocirt; tar -xf ocirt.tar -C /opt/ocirt --no-same-owner; exec /opt/ocirt/tests/vm/run-in-guest.sh "$@"' \
	sh "$@" || status=$?
[[ $status -eq 0 || $status -eq 124 || -e $share/begun ]] || exit 125
exit "$status"
