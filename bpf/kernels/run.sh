#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Loads the probes on other kernels and has them find stalls there, and then the
# whole program: Debian's kernels in QEMU, under software emulation, so no KVM is
# needed. A guest holds busybox, bin/headroom (make build), redis-server and the
# static test binaries of lab/guest and of each probe that has a guest_test.go,
# and runs their TestGuest tests.
#
#   run.sh [VERSION ...]     default: 5.10 6.1 6.12 7.2
#
# Kernels, busybox and the lists of packages are kept in $CACHE. Nothing is
# installed. QEMU must be there, 10 or newer: Debian 12's own 7.2 crashes on 6.12
# (scripts/qemu.sh), and redis-server (lab/packages.txt).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
REPO=$(cd "$HERE/../.." && pwd)
CACHE=${CACHE:-$HOME/.cache/headroom-kernels}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
GUEST_SECONDS=${GUEST_SECONDS:-240}
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
VERSIONS=("$@")
[ $# -gt 0 ] || VERSIONS=(5.10 6.1 6.12 7.2)
mapfile -t TESTED < <(cd "$REPO" && for t in bpf/*/guest_test.go lab/guest/guest_test.go; do dirname "$t"; done)
SUITES='bullseye bookworm bookworm-backports trixie sid'
mkdir -p "$CACHE"
WORK=$(mktemp -d "$CACHE/run.XXXXXX")
trap 'rm -rf "$WORK"' EXIT

# apt with sources, lists and archives of its own; it knows what is installed here.
own() {
	"$1" -o Dir::Etc::SourceList="$CACHE/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$CACHE/lists" -o Dir::Cache="$CACHE/apt" \
		-o Acquire::Languages=none -o APT::Sandbox::User=root "${@:2}"
}

lists() { # once per run, and only if something is to be fetched
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

# Never installs: lists of several suites would let apt move the host to another one.
qemu() {
	local v=0
	if command -v qemu-system-x86_64 >/dev/null; then v=$(qemu-system-x86_64 --version | sed -n 's/.*version \([0-9]*\).*/\1/p'); fi
	((v < 10)) || return 0
	echo "needs QEMU 10 or newer: scripts/qemu.sh installs it on Debian" >&2
	exit 1
}

kernel() { # VERSION: prints the path of the newest kernel of that series
	local p
	if [ ! -e "$CACHE/vmlinuz-$1" ]; then
		lists
		p=$(own apt-cache pkgnames "linux-image-$1" | grep -E "^linux-image-${1//./\\.}([.+-][0-9a-z.+~-]*)?-amd64\$" |
			grep -vE -- '-(rt|cloud)-' | sort -V | tail -1)
		[ -n "$p" ] || { echo "no kernel $1 in $SUITES" >&2; return 1; }
		# From 7.2 on the image package only pulls in the one that holds the image.
		fetch "${p/image/binary}" "$WORK/$1" 2>/dev/null || fetch "$p" "$WORK/$1"
		mv "$(find "$WORK/$1" -name "vmlinuz*" -type f)" "$CACHE/vmlinuz-$1"
	fi
	echo "$CACHE/vmlinuz-$1"
}

# withLibraries PROGRAM ROOT: copies it, what it is a link to, and what it loads.
withLibraries() {
	local f
	for f in "$1" "$(readlink -f "$1")"; do cp -P --parents "$f" "$2"; done
	for f in $(ldd "$1" | grep -o '/[^ ]*'); do cp -L --parents "$f" "$2"; done
}

initrd() {
	local root=$WORK/root
	mkdir -p "$root"/{bin,dev,proc,sys,tests,tmp}
	if [ ! -e "$CACHE/busybox" ]; then
		lists
		fetch busybox-static/bookworm "$WORK/bb"
		mv "$(find "$WORK/bb" -path "*bin/busybox" -type f)" "$CACHE/busybox"
	fi
	cp "$CACHE/busybox" "$root/bin/busybox"
	cp "$HERE/init.sh" "$root/init"
	chmod 755 "$root/init"
	for p in "${TESTED[@]}"; do
		(cd "$REPO/$p" && CGO_ENABLED=0 go test -c -ldflags '-s -w' -o "$root/tests/${p#*/}.test" .)
	done
	cp "$REPO/bin/headroom" "$root/bin/headroom"
	withLibraries "$(command -v redis-server)" "$root"
	(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$WORK/initrd.gz"
}

boot() { # VERSION
	timeout "$GUEST_SECONDS" qemu-system-x86_64 -accel tcg -cpu max -smp 1 -m 768 -display none -no-reboot -nodefaults \
		-serial stdio -kernel "$CACHE/vmlinuz-$1" -initrd "$WORK/initrd.gz" </dev/null >"$WORK/$1.log" 2>&1 \
		-append "console=ttyS0 quiet panic=-1 oops=panic psi=1 mitigations=off nokaslr tsc=reliable" || true
}

# failures LOG: what the tests said that failed.
failures() { awk '/^=== RUN +[^\/]*$/ { said = "" } { said = said $0 "\n" } /^--- FAIL/ { printf "%s", said; said = "" }' "$1"; }

# report VERSION: one line, and what went wrong below it.
report() {
	local log=$WORK/$1.log verdict=ok release passed failed
	tr -d '\r' <"$log" >"$log.txt"
	release=$(sed -n 's/^GUEST kernel //p' "$log.txt")
	passed=$(grep -c '^--- PASS' "$log.txt" || true)
	failed=$(grep -c '^--- FAIL' "$log.txt" || true)
	[ "$(grep -c '^GUEST exit 0' "$log.txt" || true)" = ${#TESTED[@]} ] || verdict=FAILED
	((passed > 0)) || verdict=FAILED
	printf '%-6s %-26s %-7s %3d passed, %d failed, %d skipped; gaps: %s\n' "$1" "${release:-did not boot}" "$verdict" "$passed" "$failed" \
		"$(grep -c '^--- SKIP' "$log.txt" || true)" "$(sed -n 's/^ *[a-z_]*\.go:[0-9]*: GAP //p' "$log.txt" | sort -u | paste -sd';' | sed 's/;/; /g; s/^$/none/')"
	grep -A2 '^--- SKIP' "$log.txt" | sed 's/^/       /' || true
	[ $verdict = ok ] || { { failures "$log.txt"; tail -n 20 "$log.txt"; } | sed 's/^/       /'; return 1; }
}

qemu
[ -x "$REPO/bin/headroom" ] || { echo "needs bin/headroom: make build" >&2; exit 1; }
command -v redis-server >/dev/null || { echo "needs redis-server: make deps" >&2; exit 1; }
for v in "${VERSIONS[@]}"; do kernel "$v" >/dev/null; done
initrd
for v in "${VERSIONS[@]}"; do
	while (($(jobs -rp | wc -l) >= 2)); do wait -n; done
	boot "$v" &
done
wait
status=0
for v in "${VERSIONS[@]}"; do
	report "$v" && continue
	# Under emulation beside other work a clock can slip: once more, alone, and
	# both results are told.
	boot "$v"
	report "$v" || status=1
done
exit $status
