#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the agent with a real OpenTelemetry Collector on loopback: it must receive
# metrics with the values of /metrics, and findings, also after it was killed and
# restarted. Then runs the agent with the OTLP receiver of a real Prometheus: series
# must have the same names as in /metrics. The first run builds both, which takes
# several minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
COLLECTOR=v0.165.0 PROMETHEUS=v0.316.0 # which is 3.16
GO=${GO:-go}
tools=${XDG_CACHE_HOME:-$HOME/.cache}/headroom-tools
collector=$tools/otel-collector@$COLLECTOR/otel-collector
prometheus=$tools/prometheus@$PROMETHEUS/prometheus

# build FILE PACKAGE MODULE...: builds PACKAGE as FILE, in a new module that requires
# the modules. Without service discovery, building Prometheus needs a tenth of the
# dependencies.
build() {
	local file=$1 package=$2 module=${1%/*}/module
	shift 2
	(cd "$module" && export GOFLAGS='-mod=mod -tags=remove_all_sd' GOWORK=off CGO_ENABLED=0
		[ -e go.mod ] || "$GO" mod init "${file##*/}-for-headroom"
		"$GO" get "$@"
		"$GO" build -trimpath -ldflags "-s -w" -o "$file.new" "$package")
	mv "$file.new" "$file"
}
mkdir -p "${collector%/*}/module" "${prometheus%/*}/module"
cp scripts/otlp-collector.go.txt "${collector%/*}/module/main.go"
[ -x "$collector" ] || build "$collector" . go.opentelemetry.io/collector/{otelcol,receiver/otlpreceiver,exporter/debugexporter}@$COLLECTOR
[ -x "$prometheus" ] || build "$prometheus" github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus/cmd/prometheus@$PROMETHEUS

work=$(mktemp -d)
receiver='' agent='' stalling=''
finish() {
	for pid in $agent $receiver $stalling; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; tail -n 20 "$work"/*.log >&2; exit 1; }
await() { # WHAT COMMAND...
	local what=$1 end=$((SECONDS + 60))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || fail "not within a minute: $what"
		sleep 0.5
	done
	echo "ok: $what"
}

OTLP=127.0.0.1:21318 WEB=127.0.0.1:21979
cat >"$work/collector.yml" <<EOF
receivers: {otlp: {protocols: {http: {endpoint: "$OTLP"}}}}
exporters: {debug: {verbosity: detailed, sampling_initial: 100000}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    metrics: {receivers: [otlp], exporters: [debug]}
    logs: {receivers: [otlp], exporters: [debug]}
EOF
printf 'window: 10s\nevery: 5s\notlp: {endpoint: "http://%s", interval: 5s}\n' $OTLP >"$work/headroom.yml"
start_agent() { # LOG
	bin/headroom agent --web.listen-address $WEB --config.file "$work/headroom.yml" 2>"$work/$1.log" &
	agent=$!
}
end_agent() {
	kill -TERM "$agent"
	wait "$agent" || fail "the agent ended with $?"
	agent=
	echo "ok: it ends"
}
collect() { # LOG
	"$collector" --config "file:$work/collector.yml" >"$work/$1.log" 2>&1 &
	receiver=$!
}
has() { grep -q -- "$2" "$work/$1.log"; }

# Cause a fault that the agent must find.
node -e 'setInterval(() => { for (const end = Date.now() + 200; Date.now() < end;); }, 500)' &
stalling=$!
collect first
await "the collector listens" curl -s -o "$work/answer" "http://$OTLP/"
start_agent agent
await "metrics arrive" has first 'Name: system.memory.limit'
await "findings arrive" has first 'EventName: headroom.finding'
has first 'service.name: Str(headroom)' || fail "the resource has no service.name"

# Compare the memory of the host, because it does not change.
curl -s "http://$WEB/metrics" >"$work/metrics"
want=$(awk '$1 == "system_memory_limit_bytes" {printf "%.0f", $2}' "$work/metrics")
got=$(awk '/Name: system.memory.limit/ {on = 1} on && /^Value:/ {printf "%.0f", $2; exit}' "$work/first.log")
[ -n "$want" ] && [ "$want" = "$got" ] || fail "system.memory.limit is $got, and $want in /metrics"
echo "ok: system.memory.limit is $got in both"

kill -KILL "$receiver"
wait "$receiver" 2>/dev/null || true
await "the agent logs that the receiver does not take metrics" has agent 'does not take metrics'
collect second
await "metrics arrive again" has second 'Name: system.memory.limit'
await "the agent says so" has agent 'takes metrics again'
[ "$(grep -c 'does not take metrics' "$work/agent.log")" = 1 ] || fail "the agent logged more than once that the receiver does not take metrics"
end_agent
kill -KILL "$receiver"
wait "$receiver" 2>/dev/null || true

# Prometheus accepts only metrics. It must have all series of /metrics, including
# findings and the agent's own metrics.
PROM=127.0.0.1:21390
printf 'window: 10s\nevery: 5s\notlp: {endpoint: "http://%s/api/v1/otlp", interval: 5s, logs: false}\n' $PROM >"$work/headroom.yml"
echo '{}' >"$work/prometheus.yml"
"$prometheus" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" --web.listen-address=$PROM \
	--web.enable-otlp-receiver >"$work/prometheus.log" 2>&1 &
receiver=$!
await "Prometheus listens" curl -sf -o "$work/answer" "http://$PROM/-/ready"
start_agent again
query() { curl -sf "http://$PROM/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result'; }
received() { [ "$(query "$1" | jq length)" -gt 0 ]; }
await "metrics arrive in Prometheus" received system_memory_limit_bytes
await "distributions do" received headroom_loop_lag_seconds_bucket
sleep 6 # one more export, with all series
curl -s "http://$WEB/metrics" >"$work/metrics"
curl -sf "http://$PROM/api/v1/label/__name__/values" | jq -r '.data[]' | sort -u >"$work/names"
grep -v '^#' "$work/metrics" | sed -E 's/[{ ].*//' | sort -u >"$work/expected"
[ "$(wc -l <"$work/expected")" -gt 80 ] || fail "only $(wc -l <"$work/expected") names in /metrics"
missing=$(comm -23 <(sed 's/_current$/_count/' "$work/expected" | sort -u) "$work/names" | paste -sd' ')
[ -z "$missing" ] || fail "not in Prometheus: $missing"
echo "ok: all $(wc -l <"$work/expected") names of /metrics are in Prometheus, _current as _count"
[ "$(query 'sum(headroom_findings{id="event-loop-blocked"})' | jq -r '.[0].value[1]')" -ge 1 ] || fail "the finding is not in Prometheus"
echo "ok: the finding is"
end_agent
