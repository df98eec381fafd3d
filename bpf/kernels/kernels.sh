# SPDX-License-Identifier: Apache-2.0
#
# Functions to boot a Debian kernel in QEMU; to be sourced by bash scripts with
# -euo pipefail. Kernels, their modules, busybox and the package lists are cached in
# $CACHE. Nothing is installed. $WORK is a temporary folder of the script.
CACHE=${CACHE:-$HOME/.cache/headroom-kernels}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
SUITES='bullseye bookworm bookworm-backports trixie sid'
# The drivers of disks, of their file system, and of NFS's server and client, in the
# order in which they load. A driver without a module must be built into the kernel;
# lab/guest fails if it is not.
MODULES='virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk crc16 crc32c_generic mbcache jbd2 ext4'
MODULES+=' sunrpc auth_rpcgss grace lockd nfs_acl nfs_localio nfsd netfs fscache nfs dns_resolver nfsv4'
mkdir -p "$CACHE"
WORK=$(mktemp -d "$CACHE/run.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
PATH=$PATH:/usr/sbin # mkfs.ext4, for users other than root

# own: runs apt with separate sources, lists and archives. It sees the packages
# installed on this host.
own() {
	"$1" -o Dir::Etc::SourceList="$CACHE/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$CACHE/lists" -o Dir::Cache="$CACHE/apt" \
		-o Acquire::Languages=none -o APT::Sandbox::User=root "${@:2}"
}

lists() { # at most once per run, before the first fetch
	[ ! -e "$WORK/lists" ] || return 0
	mkdir -p "$CACHE/lists/partial" "$CACHE/apt/archives/partial"
	for s in $SUITES; do echo "deb [signed-by=$KEYS] $MIRROR $s main"; done >"$CACHE/sources.list"
	own apt-get update -qq
	touch "$WORK/lists"
}

fetch() { # PACKAGE DIR: unpacks the package there
	(cd "$WORK" && own apt-get download -qq "$1") || return 1
	dpkg-deb -x "$WORK"/"$(printf %s "$1" | cut -d/ -f1)"_*.deb "$2"
	rm "$WORK"/*.deb
}

# qemu: checks the version, and installs nothing: with lists of several suites, apt
# could upgrade the host to another suite.
qemu() {
	local v=0
	if command -v qemu-system-x86_64 >/dev/null; then v=$(qemu-system-x86_64 --version | sed -n 's/.*version \([0-9]*\).*/\1/p'); fi
	((v < 10)) || return 0
	echo "needs QEMU 10 or newer: scripts/qemu.sh installs it on Debian" >&2
	exit 1
}

busybox() {
	[ ! -e "$CACHE/busybox" ] || return 0
	lists
	fetch busybox-static/bookworm "$WORK/bb"
	mv "$(find "$WORK/bb" -path "*bin/busybox" -type f)" "$CACHE/busybox"
}

# kernel VERSION: fetches the newest kernel of that series and its modules to
# $CACHE/kernel-VERSION.
kernel() {
	local p dir=$WORK/kernel-$1 n=10 name file
	[ "$(cat "$CACHE/kernel-$1/names" 2>/dev/null)" != "$MODULES" ] || return 0
	lists
	p=$(own apt-cache pkgnames "linux-image-$1" | grep -E "^linux-image-${1//./\\.}([.+-][0-9a-z.+~-]*)?-amd64\$" |
		grep -vE -- '-(rt|cloud)-' | sort -V | tail -1)
	[ -n "$p" ] || { echo "no kernel $1 in $SUITES" >&2; return 1; }
	# Since 7.2 the image package only depends on the packages that contain the image and
	# the modules.
	if fetch "${p/image/binary}" "$WORK/$1" 2>/dev/null; then
		fetch "${p/image/modules}" "$WORK/$1"
	else
		fetch "$p" "$WORK/$1"
	fi
	mkdir -p "$dir/modules"
	mv "$(find "$WORK/$1" -name "vmlinuz*" -type f)" "$dir/vmlinuz"
	for name in $MODULES; do
		file=$(find "$WORK/$1" -name "$name.ko" -o -name "$name.ko.xz")
		case $file in
		'') ;;
		*.xz) "$CACHE/busybox" xzcat "$file" >"$dir/modules/$n-$name.ko" ;;
		*) mv "$file" "$dir/modules/$n-$name.ko" ;;
		esac
		n=$((n + 1)) # two digits, so that names sort in this order
	done
	echo "$MODULES" >"$dir/names"
	rm -rf "${WORK:?}/$1" "$CACHE/kernel-$1"
	mv "$dir" "$CACHE/kernel-$1" # last, so that the folder is always complete
}

archive() { # DIR NAME [WHAT]: a cpio archive; several, concatenated, make an initramfs
	(cd "$1" && find "${3:-.}" | cpio -o -H newc --quiet | gzip -1) >"$WORK/$2.gz"
}
