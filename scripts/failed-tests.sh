#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the messages of each failed test, and the last lines of its output. Reads the
# log of go test -v.
exec awk '
/^=== (RUN|NAME|CONT) / { test = $3; next }
/^ *--- FAIL: / { failed[++n] = $3 }
{ line[test, ++lines[test]] = $0 }
END {
	for (i = 1; i <= n; i++) {
		print "== failed: " failed[i]
		for (j = 1; j <= lines[failed[i]]; j++) {
			text = line[failed[i], j]
			if (text ~ /^ *[a-z_0-9]+\.go:[0-9]+: / || j > lines[failed[i]] - 40) print text
		}
	}
}' "$1"
