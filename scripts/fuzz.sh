#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzz test for FUZZTIME (default a minute).
set -eu
if [ "${1:-}" != module ]; then
	exec "$(dirname "$0")/modules.sh" "$(realpath "$0")" module
fi
go list ./... | while read -r package; do
	go test -list '^Fuzz' "$package" | grep '^Fuzz' | while read -r name; do
		echo "$package $name"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-1m}" "$package" </dev/null
	done
done
