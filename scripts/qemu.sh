#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs QEMU 10 or newer for bpf/kernels, if it is not installed. Debian 12 has 7.2,
# which crashes on Linux 6.12; its backports have 10. They are used for this package
# only, and not added to /etc/apt.
set -eu
LEAST=10
MIRROR=${MIRROR:-http://deb.debian.org/debian}
SECURITY=${SECURITY:-http://deb.debian.org/debian-security}
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

enough() { # reads a version such as 1:10.0.2+ds-2
	v=$(sed -n 's/^[^0-9]*\([0-9]*:\)\{0,1\}\([0-9]*\)\..*/\2/p' | head -n 1)
	[ "${v:-0}" -ge "$LEAST" ]
}

if command -v qemu-system-x86_64 >/dev/null && qemu-system-x86_64 --version | enough; then exit 0; fi

no() {
	echo "needs QEMU $LEAST or newer as qemu-system-x86_64: $1" >&2
	exit 1
}
command -v apt-get >/dev/null || no "install it with this system's own means"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive

# Use the sources of this host, if their version is new enough.
$sudo apt-get update -qq
if LC_ALL=C apt-cache policy qemu-system-x86 | sed -n 's/^ *Candidate://p' | enough; then
	echo "installing: qemu-system-x86"
	exec $sudo apt-get install -y -qq --no-install-recommends qemu-system-x86 >/dev/null
fi

release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
[ "$release" = bookworm ] || no "the sources of this system have none, and only Debian 12's backports are known here"

# Separate package lists: the suites of Debian 12, and the backports, whose packages
# are used only where qemu-system-x86 needs them.
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
cat >"$own/sources.list" <<LIST
deb [signed-by=$KEYS] $MIRROR bookworm main
deb [signed-by=$KEYS] $MIRROR bookworm-updates main
deb [signed-by=$KEYS] $SECURITY bookworm-security main
deb [signed-by=$KEYS] $MIRROR bookworm-backports main
LIST
mkdir -p "$own/lists/partial"
apt() {
	$sudo apt-get -qq -o Dir::Etc::SourceList="$own/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$own/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
apt update
echo "installing: qemu-system-x86 of bookworm-backports"
apt install -y --no-install-recommends -t bookworm-backports qemu-system-x86 >/dev/null
qemu-system-x86_64 --version | enough || no "what was installed is older"
