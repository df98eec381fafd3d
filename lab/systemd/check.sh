#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The checks in the guest of run.sh. An emulated CPU is slow, so each check is
# repeated until it succeeds.
set -uo pipefail
URL=http://127.0.0.1:9779
CONFIG=/etc/headroom/headroom.yml
failed() { echo "FAILED: $*"; systemctl status headroom --no-pager -n 30 2>&1 | sed 's/^/    /'; exit 1; }
# check WHAT COMMAND...: fails if COMMAND does not succeed within two minutes.
check() {
	local what=$1 end=$((SECONDS + 120))
	shift
	until "$@"; do
		((SECONDS < end)) || failed "$what"
		sleep 1
	done
	echo "ok: $what"
}
get() { curl -sf -m 10 "$URL$1"; }
ready() { get /readyz >/dev/null; }
active() { [ "$(systemctl is-active headroom)" = active ]; }
pid() { systemctl show -p MainPID --value headroom; }
status() { awk -v key="$1:" '$1 == key {print $2}' "/proc/$(pid)/status"; }
metric() { get /metrics | awk -v name="$1" '$1 == name {printf "%.0f\n", $2}'; }
# since MARK TEXT: succeeds if the journal contains TEXT after the cursor MARK.
mark() { journalctl -u headroom --no-pager -n 0 --show-cursor | sed -n 's/^-- cursor: //p'; }
since() { journalctl -u headroom --no-pager --after-cursor "$1" | grep -q -- "$2"; }
another() { local now; now=$(pid); [ "$now" != 0 ] && [ "$now" != "$1" ] && ready; }
judges() { local before; before=$(metric headroom_judgements_total) && sleep 12 && [ "$(metric headroom_judgements_total)" -gt "$before" ]; }
drop_in() { mkdir -p /etc/systemd/system/headroom.service.d && printf '[Service]\n%s\n' "$1" >/etc/systemd/system/headroom.service.d/check.conf && systemctl daemon-reload; }

echo "== dpkg installs it, and systemd starts it"
export DEBIAN_FRONTEND=noninteractive
check "dpkg takes the package" dpkg -i /headroom.deb
check "it is enabled" systemctl -q is-enabled headroom
check "it says that it is ready" active
check "it answers" ready
findings() { get /api/v1/findings | jq -e '.schema // .version // .window' >/dev/null; }
check "findings are JSON" findings

echo "== it has what the unit leaves it"
# BPF 39, PERFMON 38, SYS_PTRACE 19, DAC_READ_SEARCH 2.
capabilities() { [ "$(status CapEff)" = "$(printf '%016x' $((1 << 39 | 1 << 38 | 1 << 19 | 1 << 2)))" ] && [ "$(status CapBnd)" = "$(status CapEff)" ]; }
check "exactly four capabilities" capabilities
confined() { [ "$(status NoNewPrivs)" = 1 ] && [ "$(status Seccomp)" = 2 ]; }
check "no new privileges, and seccomp" confined
probes() { [ "$(get /metrics | grep -c '^headroom_sampler_open.* 1$')" -gt 12 ] && [ "$(get /metrics | awk '/^headroom_bpf_program_skipped_total/ {n++} END {print n + 0}')" -gt 3 ]; }
check "its eBPF programs are loaded" probes
private() { [ "$(stat -c %a /var/lib/headroom)" = 700 ] && [ -n "$(ls /var/lib/headroom)" ]; }
check "its saved state is private" private

echo "== a loop that stalls is found"
redis-server --port 6379 --save '' --enable-debug-command yes --daemonize yes >/dev/null
(while sleep 1; do redis-cli DEBUG SLEEP 0.3; done) >/dev/null 2>&1 &
stalling=$!
found() { get /api/v1/findings | jq -e '.findings[] | select(.id == "event-loop-blocked")' >/dev/null; }
check "redis is found" found
fires() { get '/api/v1/findings?state=firing' | jq -e '.findings[] | select(.id == "event-loop-blocked")' >/dev/null; }
check "and the finding fires" fires
sleep 15 # it is saved within ten seconds
kill $stalling

echo "== systemctl reload"
at=$(mark)
printf 'mute:\n  - id: event-loop-blocked\n    reason: a check\n' >$CONFIG
check "reload succeeds" systemctl reload headroom
muted() { since "$at" 'config reloaded.*mutes=1'; }
check "the new config is in use" muted
at=$(mark)
printf 'windows: 30s\n' >$CONFIG
systemctl reload headroom
refused() { since "$at" 'line 1' && since "$at" 'keeping the old one'; }
check "a wrong one is refused, with its line" refused
check "and the old one is in use" test "$(metric headroom_config_last_reload_successful)" = 0
printf 'every: 5s\n' >$CONFIG

echo "== it is killed, and it hangs"
old=$(pid)
kill -KILL "$old"
restarted() { another "$old"; }
check "systemd starts it again after kill -9" restarted
remembered() { get '/api/v1/findings/history?since=1h' | grep -q event-loop-blocked; }
check "it knows what it had found" remembered
drop_in 'WatchdogSec=15'
systemctl restart headroom
check "it is back after a restart" ready
old=$(pid)
sleep 40
check "the watchdog leaves it alone while it works" test "$(pid)" = "$old"
kill -STOP "$old"
check "the watchdog ends it when it hangs" restarted

echo "== a hard limit of its memory"
drop_in 'MemoryMax=64M'
at=$(mark)
systemctl restart headroom
check "it is back" ready
old=$(pid)
said() { since "$at" 'memory is limited to less than the config allows'; }
check "it says that there is little" said
sleep 60
lives() { [ "$(pid)" = "$old" ] && judges && grep -q '^oom_kill 0$' /sys/fs/cgroup/system.slice/headroom.service/memory.events; }
check "it lives with it for a minute" lives
echo "    memory.current $(cat /sys/fs/cgroup/system.slice/headroom.service/memory.current), $(tr '\n' ' ' </sys/fs/cgroup/system.slice/headroom.service/memory.events)"
rm -r /etc/systemd/system/headroom.service.d
systemctl daemon-reload
systemctl restart headroom
check "it is back with what it had" ready

echo "== the clock is set"
jumps() { date -s "$1" >/dev/null && judges && get /healthz >/dev/null && [ "$(metric headroom_standstills_total)" = 0 ]; }
check "an hour on" jumps '+1 hour'
check "two hours back" jumps '-2 hours'
check "it still knows what it had found" get '/api/v1/findings/history?since=24h'

echo "== it ends"
check "systemctl stop" systemctl stop headroom
ended() { [ "$(systemctl show -p Result --value headroom)" = success ] && [ "$(systemctl show -p ExecMainStatus --value headroom)" = 0 ]; }
check "its status is 0" ended
check "dpkg removes it" dpkg -r headroom
check "its memory stays" test -d /var/lib/headroom
check "dpkg purges it" dpkg -P headroom
gone() { [ ! -e /var/lib/headroom ] && [ ! -e /etc/headroom ] && ! systemctl cat headroom >/dev/null 2>&1; }
check "nothing is left" gone
