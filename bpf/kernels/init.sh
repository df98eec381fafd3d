#!/bin/busybox sh
# The init process of a guest: mounts file systems, runs the tests, powers off.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
hostname guest
echo
echo "GUEST kernel $(uname -r)"
for m in /modules/*.ko; do insmod "$m" || echo "GUEST lacks $m"; done
export HEADROOM_REQUIRE_PROBE=1 HEADROOM_GUEST=1
for t in /tests/*.test; do
	$t -test.v -test.run "$RUN" -test.timeout 600s
	echo "GUEST exit $?"
done
# Write the recordings of tests to a disk, from which the host unpacks them.
if [ -d /tmp/kept ]; then
	tar -cf /dev/vdc -C /tmp/kept .
	sync
fi
poweroff -f
