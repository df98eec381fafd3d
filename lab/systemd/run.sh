#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Boots Debian with systemd in QEMU, under software emulation, installs and runs
# the Debian package of dist/ (make dist), and runs check.sh there. The root file
# system is made once, with debootstrap, and cached in $CACHE. Needs root
# (debootstrap) and QEMU 10 (scripts/qemu.sh).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
REPO=$(cd "$HERE/../.." && pwd)
. "$REPO/bpf/kernels/kernels.sh"
SUITE=bookworm KERNEL=6.1
SECONDS_AT_MOST=${SECONDS_AT_MOST:-900}
# CHECKS is the number of checks in check.sh: all of them must have run.
CHECKS=$(grep -c '^check ' "$HERE/check.sh")

mapfile -t debs < <(compgen -G "$REPO/dist/headroom_*_amd64.deb")
((${#debs[@]} == 1)) || { echo "dist/ has ${#debs[@]} Debian packages for amd64: make clean dist" >&2; exit 1; }
qemu
busybox
kernel $KERNEL

# debian: installs the files of a Debian system, without a kernel.
debian() {
	[ ! -d "$CACHE/root-$SUITE" ] || return 0
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,redis-server,curl,jq $SUITE "$WORK/$SUITE" "$MIRROR" >"$WORK/debootstrap.log" ||
		{ tail "$WORK/debootstrap.log" >&2; return 1; }
	rm -rf "$WORK/$SUITE"/var/{cache/apt,lib/apt/lists}/*
	mv "$WORK/$SUITE" "$CACHE/root-$SUITE" # last, so that the folder is always complete
}

disk() {
	local root=$WORK/disk
	cp -a "$CACHE/root-$SUITE" "$root"
	install -m 644 "${debs[0]}" "$root/headroom.deb"
	install -m 755 "$HERE/check.sh" "$root/check.sh"
	install -m 644 "$HERE/check.service" "$root/etc/systemd/system/check.service"
	mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
	ln -s ../check.service "$root/etc/systemd/system/multi-user.target.wants/check.service"
	# check.sh starts redis and sets the clock; no service may do so.
	ln -sf /dev/null "$root/etc/systemd/system/redis-server.service"
	ln -sf /dev/null "$root/etc/systemd/system/systemd-timesyncd.service"
	truncate -s 1G "$WORK/root.img"
	mkfs.ext4 -q -d "$root" "$WORK/root.img"
	rm -r "$root"
}

# first: makes the initramfs, which loads the drivers of the disk and starts init.
first() {
	mkdir -p "$WORK/first"/{bin,dev,proc,root}
	cp "$CACHE/busybox" "$WORK/first/bin/busybox"
	cat >"$WORK/first/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
for m in /modules/*.ko; do insmod "$m"; done
n=0
until [ -b /dev/vda ] || [ $n = 100 ]; do sleep 0.1; n=$((n + 1)); done
mount -t ext4 /dev/vda /root && exec switch_root /root /lib/systemd/systemd
INIT
	chmod 755 "$WORK/first/init"
	archive "$WORK/first" first
	archive "$CACHE/kernel-$KERNEL" modules modules
	cat "$WORK/first.gz" "$WORK/modules.gz" >"$WORK/initrd.gz"
}

debian
disk
first
timeout "$SECONDS_AT_MOST" qemu-system-x86_64 -accel tcg -cpu max -smp 1 -m 1024 -display none -no-reboot -nodefaults \
	-drive "if=virtio,format=raw,cache=unsafe,file=$WORK/root.img" -serial stdio -kernel "$CACHE/kernel-$KERNEL/vmlinuz" \
	-initrd "$WORK/initrd.gz" -append "console=ttyS0 quiet panic=-1 oops=panic psi=1 mitigations=off nokaslr tsc=reliable" \
	</dev/null | tr -d '\r' | tee "$WORK/log" | grep --line-buffered -E '^(== |ok: |FAILED|    )' || true
passed=$(grep -c '^ok: ' "$WORK/log" || true)
if [ "$passed" != "$CHECKS" ] || grep -q '^FAILED' "$WORK/log"; then
	tail -n 60 "$WORK/log" >&2
	echo "systemd: $passed of $CHECKS checks passed" >&2
	exit 1
fi
echo "systemd: all $CHECKS checks passed"
