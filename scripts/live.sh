#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: live.sh GO-TEST-COMMAND...
# Runs the live scenarios. Those that failed while the hypervisor took CPU time (their
# log has a line "robbed") are repeated once; any other failure is final.
set -u
log=$(mktemp) status=$(mktemp)
trap 'rm -f "$log" "$status"' EXIT

{ "$@" 2>&1; echo $? >"$status"; } | tee "$log"
code=$(cat "$status")
[ "$code" != 0 ] || exit 0

failed=$(sed -n 's/^ *--- FAIL: TestLive\/\([^ ]*\).*/\1/p' "$log" | sort -u)
[ -n "$failed" ] || exit "$code"
for name in $failed; do
	grep -q "robbed: TestLive/$name failed" "$log" || exit "$code"
done
echo "repeating what failed while the hypervisor took CPU time:" $failed
"$@" -run "^TestLive\$/^($(echo $failed | tr ' ' '|'))\$"
