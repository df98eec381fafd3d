#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes what is handed out, in dist/: programs, image, packages.
#
#   dist.sh image    the container image alone
#   dist.sh          everything
#
# The same commit makes the same files: times are the commit's. VERSION, IMAGE
# (its name and tag) and ARCHES are from the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
ARCHES=${ARCHES:-amd64}
VERSION=${VERSION:-$(git describe --tags --always --dirty)}
IMAGE=${IMAGE:-headroom:dev}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022
mkdir -p dist

program() { # ARCH: its static program is there
	echo "dist/bin/$1/headroom"
}

programs() {
	local arch
	for arch in $ARCHES; do
		CGO_ENABLED=0 GOOS=linux GOARCH=$arch $GO build -trimpath -ldflags "-s -w -X main.version=$VERSION" \
			-o "$(program "$arch")" ./cmd/headroom
	done
}

image() {
	local arch list=()
	for arch in $ARCHES; do list+=("linux/$arch=$(program "$arch")"); done
	$GO run ./deploy/image -o "dist/headroom-$VERSION-image.tar" -tag "$IMAGE" -tag "${IMAGE%:*}:$VERSION" \
		-text LICENSE -text THIRD_PARTY_NOTICES.md -version "$VERSION" -revision "$(git rev-parse HEAD)" -created "$SOURCE_DATE_EPOCH" "${list[@]}"
}

programs
image
