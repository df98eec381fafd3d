#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Tests the probes, and then the whole program, on other kernels: Debian's kernels
# in QEMU, under software emulation, so no KVM is needed. A guest contains busybox,
# bin/headroom (make build), the manifest of the DaemonSet, redis-server and the
# static test binaries of each folder of bpf, lab and internal that has a
# guest_test.go. It runs their TestGuest tests. It has three disks: one for swap,
# one with a file that is larger than its memory, and one for the recordings that
# it makes.
#
#   run.sh [VERSION ...]     default: 5.10 6.1 6.12 7.2
#   KEEP=DIR run.sh 6.12     copies the guest's recordings and its log to DIR/6.12
#   RUN=TestGuestNFS run.sh  runs the tests that match, as go test -run does
#
# Nothing is installed. Requires QEMU 10 or newer (scripts/qemu.sh; 7.2 of Debian 12
# crashes on 6.12), redis-server and mkfs.ext4 (lab/packages.txt).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
REPO=$(cd "$HERE/../.." && pwd)
. "$HERE/kernels.sh"
GUEST_SECONDS=${GUEST_SECONDS:-900}
MEMORY=768 # MiB of a guest
VERSIONS=("$@")
[ $# -gt 0 ] || VERSIONS=(5.10 6.1 6.12 7.2)
mapfile -t TESTED < <(cd "$REPO" && for t in {bpf,lab,internal/testutil}/*/guest_test.go; do dirname "$t"; done)
KEEP=${KEEP:-}
RUN=${RUN:-^TestGuest}

# withLibraries PROGRAM ROOT: copies a program, the target if it is a link, and its
# shared libraries.
withLibraries() {
	local f
	for f in "$1" "$(readlink -f "$1")"; do cp -P --parents "$f" "$2"; done
	for f in $(ldd "$1" | grep -o '/[^ ]*'); do cp -L --parents "$f" "$2"; done
}

initrd() {
	local root=$WORK/root
	mkdir -p "$root"/{bin,dev,proc,sys,tests,tmp}
	cp "$CACHE/busybox" "$root/bin/busybox"
	cp "$HERE/init.sh" "$root/init"
	chmod 755 "$root/init"
	for p in "${TESTED[@]}"; do
		(cd "$REPO/$p" && CGO_ENABLED=0 go test -c -ldflags '-s -w' -o "$root/tests/${p##*/}.test" .)
	done
	cp "$REPO/bin/headroom" "$root/bin/headroom"
	cp "$REPO/deploy/daemonset.yaml" "$root/daemonset.yaml" # the capabilities of its container
	withLibraries "$(command -v redis-server)" "$root"
	archive "$root" initrd
	for v in "${VERSIONS[@]}"; do archive "$CACHE/kernel-$v" "modules-$v" modules; done
}

# files: makes a disk with a file that is larger than a guest's memory, which all
# guests read. The file has content, because holes are not read from a disk.
files() {
	mkdir "$WORK/files"
	head -c "$((MEMORY + 192))M" < <(yes 'a line of a log that is being copied') >"$WORK/files/large"
	truncate -s "$((MEMORY + 256))M" "$WORK/files.img"
	mkfs.ext4 -q -d "$WORK/files" "$WORK/files.img"
	rm -r "$WORK/files"
}

boot() { # VERSION
	local drive=if=virtio,format=raw,cache=unsafe,file=$WORK
	cat "$WORK/initrd.gz" "$WORK/modules-$1.gz" >"$WORK/initrd-$1.gz"
	rm -f "$WORK/"{swap,kept}"-$1.img"
	truncate -s 512M "$WORK/swap-$1.img"
	truncate -s 64M "$WORK/kept-$1.img"
	timeout "$GUEST_SECONDS" qemu-system-x86_64 -accel tcg -cpu max -smp 1 -m "$MEMORY" -display none -no-reboot -nodefaults \
		-drive "$drive/swap-$1.img" -drive "$drive/files.img,readonly=on" -drive "$drive/kept-$1.img" \
		-serial stdio -kernel "$CACHE/kernel-$1/vmlinuz" -initrd "$WORK/initrd-$1.gz" </dev/null >"$WORK/$1.log" 2>&1 \
		-append "console=ttyS0 quiet panic=-1 oops=panic psi=1 mitigations=off nokaslr tsc=reliable RUN=$RUN" || true
	if [ -n "$KEEP" ]; then
		mkdir -p "$KEEP/$1"
		cp "$WORK/$1.log" "$KEEP/$1/log"
		tar -xf "$WORK/kept-$1.img" -C "$KEEP/$1" || true
	fi
}

# failures LOG: prints the output of the failed tests.
failures() { awk '/^=== RUN +[^\/]*$/ { said = "" } { said = said $0 "\n" } /^--- FAIL/ { printf "%s", said; said = "" }' "$1"; }

# report VERSION: prints one line with the result, and below it the skipped and failed
# tests.
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
	grep -A2 -e '^--- SKIP' -e '^GUEST lacks' "$log.txt" | sed 's/^/       /' || true
	[ $verdict = ok ] || { { failures "$log.txt"; tail -n 20 "$log.txt"; } | sed 's/^/       /'; return 1; }
}

qemu
[ -x "$REPO/bin/headroom" ] || { echo "needs bin/headroom: make build" >&2; exit 1; }
for p in redis-server mkfs.ext4; do
	command -v $p >/dev/null || { echo "needs $p: make deps" >&2; exit 1; }
done
busybox
for v in "${VERSIONS[@]}"; do kernel "$v"; done
initrd
files
for v in "${VERSIONS[@]}"; do
	while (($(jobs -rp | wc -l) >= 2)); do wait -n; done
	boot "$v" &
done
wait
status=0
for v in "${VERSIONS[@]}"; do
	report "$v" && continue
	# Under emulation, a clock can drift while other work is running. Run it again alone,
	# and print both results.
	boot "$v"
	report "$v" || status=1
done
exit $status
