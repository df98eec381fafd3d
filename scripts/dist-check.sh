#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Takes what scripts/dist.sh made, as those who get it would: containerd runs the
# image, dpkg installs the package into a folder, systemd reads the unit, and the
# agent runs with what the unit leaves it. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh deploy/dist-packages.txt
work=$(mktemp -d)
pids=()
finish() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
# one PATTERN: the only file in dist/ that it means.
one() {
	local found
	mapfile -t found < <(compgen -G "dist/$1")
	((${#found[@]} == 1)) || fail "dist/$1 is ${#found[@]} files: make clean dist"
	echo "${found[0]}"
}

echo "== containerd imports the image, and runs it"
image=$(one 'headroom-*-image.tar')
cat >"$work/containerd.toml" <<CONFIG
version = 2
root = "$work/root"
state = "$work/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$work/containerd.sock"
CONFIG
containerd --config "$work/containerd.toml" >"$work/containerd.log" 2>&1 &
pids+=($!)
ctr() { command ctr --address "$work/containerd.sock" --namespace k8s.io "$@"; }
for ((n = 0; ; n++)); do
	ctr version >/dev/null 2>&1 && break
	((n < 100)) || { tail "$work/containerd.log"; fail "containerd is not ready"; }
	sleep 0.1
done
ctr images import "$image"
ctr images ls
ctr run --rm docker.io/library/headroom:dev "headroom-check-$$" /headroom version
