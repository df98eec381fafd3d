#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a command in the folder of each Go module of this repository, and fails if
# it fails in one of them. ./... of the go command ends at the next go.mod.
#
#   modules.sh go vet ./...
set -eu
cd "$(dirname "$0")/.."
modules=$(find . -name node_modules -prune -o -name '.?*' -prune -o -name go.mod -printf '%h\n' | LC_ALL=C sort)
status=0
for module in $modules; do
	(cd "$module" && "$@") || { echo "failed in module $module: $*" >&2; status=1; }
done
exit $status
