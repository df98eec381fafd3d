#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the release files in dist/: programs, image, packages.
#
#   dist.sh image    only the container image
#   dist.sh          everything
#
# Builds are reproducible: all timestamps are that of the commit. VERSION, IMAGE (name
# and tag of the image) and ARCHES are read from the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
ARCHES=${ARCHES:-amd64 arm64}
VERSION=${VERSION:-$(git describe --tags --always --dirty)}
IMAGE=${IMAGE:-headroom:dev}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022
mkdir -p dist

program() { # ARCH: builds the static program
	echo "dist/bin/$1/headroom"
}

programs() {
	local arch
	for arch in $ARCHES; do
		CGO_ENABLED=0 GOOS=linux GOARCH=$arch $GO build -trimpath -ldflags "-s -w -X github.com/headroom-project/headroom/cmd/headroom/internal/host.version=$VERSION" \
			-o "$(program "$arch")" ./cmd/headroom
	done
}

image() {
	local arch list=()
	for arch in $ARCHES; do list+=("linux/$arch=$(program "$arch")"); done
	$GO build -C deploy/image -o "$work/image" .
	"$work/image" -o "dist/headroom-$VERSION-image.tar" -tag "$IMAGE" -tag "${IMAGE%:*}:$VERSION" \
		-text LICENSE -text THIRD_PARTY_NOTICES.md -version "$VERSION" -revision "$(git rev-parse HEAD)" -created "$SOURCE_DATE_EPOCH" "${list[@]}"
}


# boms: writes the CycloneDX SBOM of each program, from its build info.
boms() {
	local arch tool
	tool=$(scripts/go-tool.sh github.com/CycloneDX/cyclonedx-gomod@v1.10.0 cmd/cyclonedx-gomod)
	for arch in $ARCHES; do
		"$tool/cyclonedx-gomod" bin -json -std -licenses -noserial -notimestamp -version "$VERSION" \
			-output "dist/headroom-$VERSION-linux-$arch.cdx.json" "$(program "$arch")" 2>"$work/boms" || { cat "$work/boms" >&2; return 1; }
	done
}

chart() {
	# The version of a chart must be a semantic version.
	scripts/helm.sh package deploy/helm/headroom --destination dist --version "$(semantic)" --app-version "$VERSION" >/dev/null
}

# git describe of a commit without a tag is not a version.
semantic() {
	if [[ $VERSION =~ ^v?([0-9]+\.[0-9]+\.[0-9]+.*)$ ]]; then echo "${BASH_REMATCH[1]}"; else echo "0.0.0-${VERSION//[^0-9A-Za-z-]/-}"; fi
}

# debian: prints a version that is newer than those of earlier commits.
debian() {
	if [[ $VERSION =~ ^v?([0-9].*\..*)$ ]]; then
		echo "${BASH_REMATCH[1]//-/+}"
	else
		echo "0~git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).${VERSION//-/+}"
	fi
}

# files ARCH ROOT: copies the files of the package to their paths below ROOT.
files() {
	local doc=$2/usr/share/doc/headroom
	install -D -m 755 "$(program "$1")" "$2/usr/bin/headroom"
	install -D -m 644 deploy/systemd/headroom.service "$2/lib/systemd/system/headroom.service"
	install -D -m 644 deploy/systemd/headroom.yml "$2/etc/headroom/headroom.yml"
	install -D -m 644 deploy/systemd/default "$2/etc/default/headroom"
	install -D -m 644 LICENSE "$doc/copyright"
	install -D -m 644 THIRD_PARTY_NOTICES.md docs/install.md "dist/headroom-$VERSION-linux-$1.cdx.json" "$doc"
	install -D -m 644 "$work/completion/bash" "$2/usr/share/bash-completion/completions/headroom"
	install -D -m 644 "$work/completion/zsh" "$2/usr/share/zsh/vendor-completions/_headroom"
	install -D -m 644 "$work/completion/fish" "$2/usr/share/fish/vendor_completions.d/headroom.fish"
}

completions() {
	mkdir -p "$work/completion"
	for shell in bash zsh fish; do $GO run ./cmd/headroom completion $shell >"$work/completion/$shell"; done
}

# packages: builds an archive for / and a Debian package with the same files.
packages() {
	local arch root
	completions
	for arch in $ARCHES; do
		root=$work/$arch
		files "$arch" "$root"
		tar -C "$root" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu -c etc lib usr |
			gzip -n9 >"dist/headroom-$VERSION-linux-$arch.tar.gz"
		mkdir "$root/DEBIAN"
		sed "s/@VERSION@/$(debian)/; s/@ARCH@/$arch/; s/@SIZE@/$(du -sk "$root" | cut -f 1)/" deploy/deb/control >"$root/DEBIAN/control"
		install -m 644 deploy/deb/conffiles "$root/DEBIAN/conffiles"
		install -m 755 deploy/deb/postinst deploy/deb/prerm deploy/deb/postrm "$root/DEBIAN"
		(cd "$root" && find usr lib -type f | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
		find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
		dpkg-deb --root-owner-group -Zxz --build "$root" "dist/headroom_$(debian)_$arch.deb" >/dev/null
	done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
programs
image
if [ "${1:-}" != image ]; then
	boms
	chart
	packages
	(cd dist && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >"$work/sums" && mv "$work/sums" SHA256SUMS)
fi
