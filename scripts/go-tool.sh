#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds programs of another Go module as that module itself would be built,
# with its own go.mod, and prints the folder that holds them; they are kept in
# the user's cache, so only the first time takes long. `go install` refuses
# modules whose go.mod replaces or excludes something, as these do.
#
#   go-tool.sh k8s.io/kubernetes@v1.37.2 cmd/kube-apiserver cmd/kubectl
#   go-tool.sh MODULE@VERSION=NAME …   PACKAGE=NAME names the program NAME
#
# LDFLAGS are more flags for the linker.
set -eu
module=$1
shift
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/headroom-tools
GO=${GO:-go}
bin=$CACHE/$(printf %s "$module" | tr / _)
mkdir -p "$bin"

build() { # PACKAGE PROGRAM
	[ ! -x "$bin/$2" ] || return 0
	if [ ! -e "$mod/go.mod" ]; then
		source=$("$GO" mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
		[ -n "$source" ] || { echo "no source of $module" >&2; exit 1; }
		# Kubernetes keeps its libraries below staging/, which the proxy does not
		# serve with it; v1.37.2 publishes them as v0.37.2.
		version=$(printf %s "$module" | sed 's/.*@v1\./v0./')
		sed "s,\(k8s.io/[a-z-]*\) => ./staging/src/k8s.io/.*,\1 => \1 $version," "$source/go.mod" >"$mod/go.mod"
		cp "$source/go.sum" "$mod/go.sum"
		chmod u+w "$mod/go.sum"
	fi
	echo "building $2 of $module" >&2
	(cd "$source" && CGO_ENABLED=0 GOFLAGS= GOWORK=off "$GO" build -modfile "$mod/go.mod" -mod=mod -p "${GO_TOOL_P:-2}" \
		-trimpath -buildvcs=false -ldflags "-s -w ${LDFLAGS:-}" -o "$bin/$2.new" "./$1")
	mv "$bin/$2.new" "$bin/$2"
}

mod=$(mktemp -d)
trap 'rm -rf "$mod"' EXIT
for want in "$@"; do
	build "${want%%=*}" "$(basename "${want#*=}")"
done
echo "$bin"
