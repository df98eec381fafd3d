#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds programs of another Go module with the go.mod of that module, and prints the
# folder of the programs. They are cached in the user's cache, so that only the first
# build takes long. `go install` refuses modules whose go.mod has replace or exclude
# directives, as these do.
#
#   go-tool.sh k8s.io/kubernetes@v1.37.2 cmd/kube-apiserver cmd/kubectl
#   go-tool.sh MODULE@VERSION=NAME …   PACKAGE=NAME names the program NAME
#
# LDFLAGS are additional flags for the linker.
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
		# Kubernetes has its libraries below staging/, which the module proxy leaves
		# out; those of v1.37.2 are published as v0.37.2.
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
