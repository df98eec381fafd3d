#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs helm: helm.sh ARGUMENTS… The first run builds it (a minute and a half).
set -eu
VERSION=v3.22.0
KUBE=1.37
v3=helm.sh/helm/v3
flags="-X $v3/internal/version.version=$VERSION"
# The Kubernetes version for templates that are rendered without a cluster.
for pkg in $v3/pkg/chartutil $v3/pkg/lint/rules; do
	flags="$flags -X $pkg.k8sVersionMajor=${KUBE%%.*} -X $pkg.k8sVersionMinor=${KUBE#*.}"
done
bin=$(LDFLAGS=$flags "$(dirname "$0")/go-tool.sh" $v3@$VERSION cmd/helm)
exec "$bin/helm" "$@"
