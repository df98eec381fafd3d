#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Renders every dashboard with data of the reference shop under load and faults, to
# docs/screenshots. Fails if a query fails, a panel is empty, or a link is broken.
# Needs root and exclusive use of the shop for ten minutes; HOLD is how long each
# fault is on, in seconds (default 45).
#
# The shop, the agent and Prometheus are in a separate network namespace; requests of
# visitors come from another one, through an interface with limited speed.
set -eu
cd "$(dirname "$0")/.."
VIEWER=lab/viewer
if [ "${1:-}" != inside ]; then
	scripts/deps.sh $VIEWER/packages.txt examples/reference/packages.txt
	make --no-print-directory build reference
	# Grafana's libraries have conflicting peer dependencies on React.
	(cd $VIEWER && { cmp -s package-lock.json node_modules/.lock || {
		npm ci --legacy-peer-deps --no-audit --no-fund --ignore-scripts
		cp package-lock.json node_modules/.lock
	}; } && node build.mjs)
	exec unshare --net "$0" inside
fi

WORK=$(mktemp -d)
PIDS=
counted=$(sysctl -n kernel.bpf_stats_enabled)
end() {
	trap - EXIT INT TERM HUP
	# shellcheck disable=SC2086 # a list of pids
	kill $PIDS 2>/dev/null || true
	wait
	bin/shop down || true
	sysctl -qw "kernel.bpf_stats_enabled=$counted"
	rm -rf "$WORK"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

# start runs a command until the script ends, with its output in a log.
start() {
	log=$WORK/$1.log
	shift
	"$@" >"$log" 2>&1 &
	PIDS="$PIDS $!"
}

# network makes the two namespaces: 10.99.0.2 sends requests to 10.99.0.1, and has few
# local ports, so that they run out.
network() {
	unshare --net sleep infinity &
	visitors=$!
	PIDS="$PIDS $visitors"
	until [ "$(readlink /proc/$visitors/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
	ip link set lo up
	ip link add front type veth peer name visitors netns $visitors
	ip address add 10.99.0.1/24 dev front
	ip link set front up
	nsenter --net=/proc/$visitors/ns/net sh -c 'ip link set lo up; ip address add 10.99.0.2/24 dev visitors; ip link set visitors up'
	tc qdisc add dev front root tbf rate 100mbit burst 64kb latency 50ms
	sysctl -qw net.ipv4.conf.front.route_localnet=1 net.ipv4.ip_local_port_range="32768 38000"
	nft -f - <<-RULES
	table ip shop {
		chain front { type nat hook prerouting priority dstnat; iifname "front" tcp dport 18080 dnat to 127.0.0.1; }
		chain tracked { type filter hook input priority filter; ct state invalid drop; }
	}
	RULES
}

# fault NAME [LEVEL]: switches a fault on for HOLD seconds.
fault() {
	echo "fault: $*"
	bin/shop fault "$@" >/dev/null
	sleep "${HOLD:-45}"
	bin/shop fault "$1" off >/dev/null
}

# containers: prints a label, id or pod, of matching containers of the shop.
containers() {
	node -e '
		const { containers } = JSON.parse(require("fs").readFileSync("/var/lib/headroom-reference/state.json"));
		const [label, name] = process.argv.slice(1);
		const length = { id: 12, pod: 8 }[label]; // that labels have
		console.log(containers.filter((c) => c.name.match(name)).map((c) => c[label].slice(0, length)).join("|"));' "$1" "$2"
}

# config: excludes other programs on this host from the screenshots.
config() {
	programs='nginx|redis-server|postgres|beam[.]smp|epmd|shop|headroom|prometheus|\[kernel\]|\[other\]'
	ids=$(containers id .)
	pods=$(containers pod .)
	cat <<-CONFIG
	global: {scrape_interval: 5s, scrape_timeout: 4s}
	scrape_configs:
	- job_name: headroom
	  static_configs: [{targets: ["127.0.0.1:9779"], labels: {instance: node-1}}]
	  metric_relabel_configs:
	  - {action: keep, source_labels: [container_name], regex: '|$ids'}
	  - {action: keep, source_labels: [k8s_pod_name], regex: '|$pods'}
	  - {action: keep, source_labels: [container_name, headroom_program], regex: '[^;]+;.*|;|;($programs)'}
	  - {action: keep, source_labels: [linux_cgroup_path], regex: '|/headroom-reference/.*'}
	  - {action: keep, source_labels: [container_name, subject_kind, subject], regex: '[^;]+;.*|;;|;(host|node|cpu|disk|nic|upstream);.*|;.*;($programs)'}
	  - {action: keep, source_labels: [headroom_culprit], regex: '|($pods)/.*|$programs'}
	  - {action: keep, source_labels: [server_address], regex: '|.*:180..'}
	CONFIG
}

network
bin/shop up
sysctl -qw kernel.bpf_stats_enabled=1
config >"$WORK/prometheus.yml"
start prometheus prometheus --config.file="$WORK/prometheus.yml" --storage.tsdb.path="$WORK/data" --web.listen-address=127.0.0.1:9090
start agent bin/headroom agent
start load nsenter --net=/proc/$visitors/ns/net bin/shop load -url http://10.99.0.1:18080 -rate 30 -duration 1h
FROM=$(date -u +%FT%TZ)
sleep 60
for name in sync-crypto blocking-client cpu-quota memory-limit noisy-neighbour disk-writes no-keep-alive small-backlog; do
	fault "$name"
done
fault fd-leak 100 # until calls are refused
echo "and some that stay"
bin/shop fault unequal-workers >/dev/null
bin/shop fault fd-leak 12 >/dev/null
bin/shop fault sync-crypto 100ms >/dev/null
sleep 100
TO=$(date -u +%FT%TZ)
SELECT="{\"headroom-service\": {\"container\": [\"$(containers id api)\"]}}"
export FROM TO SELECT SCRAPE=5 PROMETHEUS=http://127.0.0.1:9090
node $VIEWER/shoot.mjs docs/screenshots dashboards/headroom-*.json || {
	tail -n 80 "$WORK"/*.log
	exit 1
}
