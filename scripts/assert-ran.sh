#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fails unless the tests that need root, eBPF and real servers really ran: a
# skipped test looks green. Reads the log of make test TESTFLAGS=-v.
set -eu
log=$1
status=0

# at_least N PATTERN WHAT
at_least() {
	n=$(grep -cE "^ *--- PASS: $2" "$log" || true)
	echo "$3: $n passed (at least $1 expected)"
	[ "$n" -ge "$1" ] || status=1
}

at_least 10 'TestProbe' 'tests of the eBPF probe'
at_least 20 'TestLive/' 'live scenarios'
skipped=$(grep -E '^ *--- SKIP' "$log" || true)
if [ -n "$skipped" ]; then
	echo "skipped, and nothing may be skipped here:"
	echo "$skipped"
	status=1
fi
exit $status
