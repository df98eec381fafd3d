#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the agent against a real OpenTelemetry Collector on loopback: metrics
# and findings have to arrive, with the numbers of /metrics, and again after the
# collector was killed. The first run builds the collector.
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=v0.165.0
GO=${GO:-go}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/headroom-tools/otel-collector@$VERSION
collector=$cache/otel-collector

# build makes a collector of the parts that are needed, in a module of its own.
build() {
	mkdir -p "$cache/module"
	cp scripts/otlp-collector.go.txt "$cache/module/main.go"
	(cd "$cache/module" && export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0
		[ -e go.mod ] || "$GO" mod init otlpcollector
		"$GO" get go.opentelemetry.io/collector/{otelcol,receiver/otlpreceiver,exporter/debugexporter}@$VERSION
		"$GO" build -trimpath -ldflags "-s -w" -o "$collector.new" .)
	mv "$collector.new" "$collector"
}
[ -x "$collector" ] || build

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
collect() { # LOG
	"$collector" --config "file:$work/collector.yml" >"$work/$1.log" 2>&1 &
	receiver=$!
}
has() { grep -q -- "$2" "$work/$1.log"; }

# There has to be something to find.
node -e 'setInterval(() => { for (const end = Date.now() + 200; Date.now() < end;); }, 500)' &
stalling=$!
collect first
await "the collector listens" curl -s -o "$work/answer" "http://$OTLP/"
bin/headroom agent --web.listen-address $WEB --config.file "$work/headroom.yml" 2>"$work/agent.log" &
agent=$!
await "metrics arrive" has first 'Name: system.memory.limit'
await "findings arrive" has first 'EventName: headroom.finding'
has first 'service.name: Str(headroom)' || fail "the resource has no service.name"

# The memory of the host is a number that stands still.
curl -s "http://$WEB/metrics" >"$work/metrics"
want=$(awk '$1 == "system_memory_limit_bytes" {printf "%.0f", $2}' "$work/metrics")
got=$(awk '/Name: system.memory.limit/ {on = 1} on && /^Value:/ {printf "%.0f", $2; exit}' "$work/first.log")
[ -n "$want" ] && [ "$want" = "$got" ] || fail "system.memory.limit is $got, and $want in /metrics"
echo "ok: system.memory.limit is $got in both"

kill -KILL "$receiver"
wait "$receiver" 2>/dev/null || true
await "the agent says that nobody takes metrics" has agent 'does not take metrics'
collect second
await "metrics arrive again" has second 'Name: system.memory.limit'
await "the agent says so" has agent 'takes metrics again'
[ "$(grep -c 'does not take metrics' "$work/agent.log")" = 1 ] || fail "it said more than once that nobody takes metrics"
kill -TERM "$agent"
wait "$agent" || fail "the agent ended with $?"
agent=
echo "ok: it ends"
