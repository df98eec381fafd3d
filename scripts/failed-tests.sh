#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the last lines of the output of each failed test. Reads the log of
# go test -v.
exec awk '
/^=== (RUN|NAME|CONT) / { test = $3; next }
/^ *--- FAIL: / { failed[++n] = $3 }
{ line[test, ++lines[test]] = $0 }
END {
	for (i = 1; i <= n; i++) {
		print "== failed: " failed[i]
		for (j = lines[failed[i]] - 39; j <= lines[failed[i]]; j++) if (j > 0) print line[failed[i], j]
	}
}' "$1"
