#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Reduces the output of go test -v to the results of packages, failures and skips with
# their output, and the summary of the live scenarios.
exec grep -aEv '^ *(=== |--- PASS|PASS$)|^(ok|\?) .*\[no test files\]$' --line-buffered
