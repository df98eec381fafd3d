#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzz test for FUZZTIME (default a minute).
set -eu
cd "$(dirname "$0")/.."
go list ./... | while read -r package; do
	go test -list '^Fuzz' "$package" | grep '^Fuzz' | while read -r name; do
		echo "$package $name"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-1m}" "$package" </dev/null
	done
done
