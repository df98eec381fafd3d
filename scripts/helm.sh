#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs helm, which is built the first time (a minute and a half): helm.sh ARGUMENTS…
set -eu
VERSION=v3.22.0
KUBE=1.37
v3=helm.sh/helm/v3
flags="-X $v3/internal/version.version=$VERSION"
# What templates are told of a cluster that is not there.
for pkg in $v3/pkg/chartutil $v3/pkg/lint/rules; do
	flags="$flags -X $pkg.k8sVersionMajor=${KUBE%%.*} -X $pkg.k8sVersionMinor=${KUBE#*.}"
done
bin=$(LDFLAGS=$flags "$(dirname "$0")/go-tool.sh" $v3@$VERSION cmd/helm)
exec "$bin/helm" "$@"
