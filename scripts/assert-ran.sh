#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fails unless the tests that need root, eBPF and real servers really ran, because a
# skipped test does not fail. Reads the log of make test TESTFLAGS=-v.
set -eu
log=$1
status=0

# at_least N WHAT PATTERN: the largest number in lines of the log that match PATTERN must be N or more.
at_least() {
	n=$(sed -n "s/.*$3.*/\\1/p" "$log" | sort -n | tail -1)
	echo "$2: ${n:-none} (at least $1 expected)"
	[ "${n:-0}" -ge "$1" ] || status=1
}

at_least 25 'tests of bpf/tick with a live probe' 'bpf\/tick: \([0-9]*\) tests ran with a live probe'
at_least 10 'tests of bpf/files with a live probe' 'bpf\/files: \([0-9]*\) tests ran with a live probe'
at_least 3 'tests of bpf/oom with a live probe' 'bpf\/oom: \([0-9]*\) tests ran with a live probe'
at_least 20 'tests of bpf/requests with a live probe' 'bpf\/requests: \([0-9]*\) tests ran with a live probe'
at_least 8 'tests of bpf/rediskeys with a live probe' 'bpf\/rediskeys: \([0-9]*\) tests ran with a live probe'
at_least 55 'live scenarios' 'live scenarios: \([0-9]*\) ran'
pages=$(grep -c '^--- PASS: TestBrowser' "$log" || true)
echo "tests that looked at pages in Chromium: $pages (at least 7 expected)"
[ "$pages" -ge 7 ] || status=1
grep -q '^--- PASS: TestTutorial ' "$log" || { echo "the tutorial was not typed"; status=1; }
skipped=$(grep -E '^ *--- SKIP' "$log" || true)
if [ -n "$skipped" ]; then
	echo "skipped, and nothing may be skipped here:"
	echo "$skipped"
	status=1
fi
exit $status
