#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes THIRD_PARTY_NOTICES.md: the modules linked into bin/headroom with
# their licences and notices.
set -eu
cd "$(dirname "$0")/.."
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
# go-licenses warns about links that it cannot resolve and about assembly; neither
# matters here.
${GO:-go} run github.com/google/go-licenses@v1.6.0 report ./cmd/headroom \
	--ignore github.com/headroom-project/headroom --template scripts/notices.tpl >"$new/found" 2>"$new/log" || {
	cat "$new/log" >&2
	exit 1
}
${GO:-go} run ./scripts/notices <"$new/found" >"$new/notices"
mv "$new/notices" THIRD_PARTY_NOTICES.md
