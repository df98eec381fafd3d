#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks examples/reference/compose.yaml as far as that is possible without a
# registry: see examples/reference/compose/project_test.go. Needs root. It runs in
# separate namespaces: it uses no port of this host, and leaves nothing behind.
set -eu
cd "$(dirname "$0")/.."
SHOP=examples/reference
scripts/deps.sh $SHOP/packages.txt $SHOP/compose/packages.txt
compose=$(scripts/go-tool.sh github.com/docker/compose/v2@v2.40.3 cmd=docker-compose)

COMPOSE_WORK=$(mktemp -d)
COMPOSE_HOSTS=$COMPOSE_WORK/hosts
COMPOSE=$compose/docker-compose
GOMODCACHE=$(go env GOMODCACHE)
GOCACHE=$(go env GOCACHE)
export COMPOSE COMPOSE_HOSTS COMPOSE_WORK GOCACHE GOMODCACHE
trap 'rm -rf "$COMPOSE_WORK"' EXIT
chmod 755 "$COMPOSE_WORK"
{
	echo "127.0.0.1 localhost"
	echo "172.30.93.1 headroom"
	(cd $SHOP && "$COMPOSE" config --services) | grep -vx headroom | sed 's/^/127.0.0.1 /'
} >"$COMPOSE_HOSTS"
go test -c -o "$COMPOSE_WORK/check" ./$SHOP/compose

echo "== Prometheus and nginx read their configuration"
promtool check config $SHOP/compose/prometheus.yml
unshare --mount sh -euc 'mount --bind "$COMPOSE_HOSTS" /etc/hosts; nginx -e /dev/stderr -t -c "$1"' - "$PWD/$SHOP/compose/nginx.conf"

echo "== the project, its images, and what headroom sees with its capabilities"
# Mount tracefs for the check where it is not mounted.
unshare --mount sh -euc '
	mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
	cd "$1"
	"$COMPOSE_WORK/check" -test.v -test.run TestImages
	"$COMPOSE_WORK/check" -test.v -test.skip "TestImages|TestUp"' - "$SHOP/compose"

echo "== everything is started"
(cd $SHOP/compose && unshare --mount --net --uts --pid --fork --kill-child --mount-proc sh -euc '
	ip link set lo up
	ip address add 172.30.93.1/24 dev lo
	mount --bind "$COMPOSE_HOSTS" /etc/hosts
	hostname localhost
	exec "$COMPOSE_WORK/check" -test.v -test.run TestUp')
