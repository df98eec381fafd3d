#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tests the files of scripts/dist.sh as a user would: containerd runs the image, dpkg
# installs the package into a folder, systemd reads the unit, and the agent runs with
# the privileges of the unit. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh deploy/dist-packages.txt
work=$(mktemp -d)
pids=()
finish() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
# one PATTERN: prints the name of the only matching file in dist/.
one() {
	local found
	mapfile -t found < <(compgen -G "dist/$1")
	((${#found[@]} == 1)) || fail "dist/$1 is ${#found[@]} files: make clean dist"
	echo "${found[0]}"
}

echo "== containerd imports the image, and runs it"
image=$(one 'headroom-*-image.tar')
cat >"$work/containerd.toml" <<CONFIG
version = 2
root = "$work/root"
state = "$work/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$work/containerd.sock"
CONFIG
containerd --config "$work/containerd.toml" >"$work/containerd.log" 2>&1 &
pids+=($!)
ctr() { command ctr --address "$work/containerd.sock" --namespace k8s.io "$@"; }
for ((n = 0; ; n++)); do
	ctr version >/dev/null 2>&1 && break
	((n < 100)) || { tail "$work/containerd.log"; fail "containerd is not ready"; }
	sleep 0.1
done
ctr images import "$image"
ctr images ls
ctr run --rm docker.io/library/headroom:dev "headroom-check-$$" /headroom version

echo "== dpkg installs the package into a root of its own, keeps a changed config, and takes all away"
arch=$(dpkg --print-architecture)
deb=$(one "headroom_*_$arch.deb")
root=$work/host
mkdir -p "$root"
dpkg-deb --info "$deb"
dpkg-deb --control "$deb" "$work/control"
mkdir -p "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/info"
touch "$root/var/lib/dpkg/status"
own() { dpkg --root="$root" --force-script-chrootless --force-not-root --log="$work/dpkg.log" "$@"; }
own --install "$deb" >/dev/null
[ -L "$root/etc/systemd/system/multi-user.target.wants/headroom.service" ] || fail "the service is not enabled"
(cd "$root" && md5sum --quiet -c "$work/control/md5sums")
for file in usr/bin/headroom lib/systemd/system/headroom.service etc/headroom/headroom.yml etc/default/headroom usr/share/doc/headroom/copyright; do
	[ -s "$root/$file" ] || fail "the package has no /$file"
done
"$root/usr/bin/headroom" config check "$root/etc/headroom/headroom.yml"
# The archive has the same files.
mkdir "$work/archive"
tar -C "$work/archive" -xzf "$(one "headroom-*-linux-$arch.tar.gz")" --no-same-owner
diff -r "$work/archive/usr" "$root/usr" && diff -r "$work/archive/lib" "$root/lib" || fail "the archive is not the package"
jq -e '.bomFormat == "CycloneDX" and ([.components[].name] | contains(["github.com/cilium/ebpf", "std"]))' \
	"$(one "headroom-*-linux-$arch.cdx.json")" >/dev/null || fail "the SBOM lacks what is known to be in the program"

echo "== systemd takes the unit"
unit=$work/headroom.service
sed "s,/usr/bin/headroom,$root/usr/bin/headroom," "$root/lib/systemd/system/headroom.service" >"$unit"
said=$(systemd-analyze verify --man=no "$unit" 2>&1) || fail "$said"
[ -z "$said" ] || fail "$said"
systemd-analyze security --offline=yes --no-pager --threshold=30 "$unit" | tail -n 1

echo "== the agent runs with the capabilities that the unit leaves it, and tells systemd"
bounding=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit")
caps=$(for c in $bounding; do printf ',+%s' "${c#CAP_}"; done | tr 'A-Z' 'a-z')
cat >"$work/notify.py" <<'PYTHON'
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(1)
said, until = [], time.time() + 60
while time.time() < until and said.count("WATCHDOG=1") < 3 or "READY=1" not in said and time.time() < until:
    try:
        said += s.recv(4096).decode().split("\n")
    except socket.timeout:
        pass
print(" ".join(sorted(set(said))))
sys.exit(0 if "READY=1" in said and "WATCHDOG=1" in said else 1)
PYTHON
printf 'every: 5s\nwindow: 10s\n' >"$work/agent.yml"
mkdir "$work/kept"
python3 "$work/notify.py" "$work/notify" &
listener=$!
while [ ! -S "$work/notify" ]; do sleep 0.1; done
env NOTIFY_SOCKET="$work/notify" STATE_DIRECTORY="$work/kept" \
	setpriv --no-new-privs --inh-caps=-all --bounding-set="-all$caps" \
	"$root/usr/bin/headroom" agent --config.file "$work/agent.yml" --web.listen-address 127.0.0.1:19798 >"$work/agent.log" 2>&1 &
pids+=($!)
wait $listener || { cat "$work/agent.log"; fail "systemd would not have heard that it is ready and alive"; }
curl -sf http://127.0.0.1:19798/api/v1/findings >"$work/findings.json"
checked=$(jq '[.checked[]? | select(. != null)] | length' "$work/findings.json")
[ "$checked" -gt 5 ] || fail "with these capabilities only $checked questions are answered: $(head -c 2000 "$work/findings.json")"
jq -r '"\(.findings | length) findings, \(.checked | length) questions checked; gaps: \([.gaps[]?.source] | unique | join(", "))"' "$work/findings.json"

echo "== a changed config outlives a new version, and nothing outlives a purge"
echo 'every: 5s' >"$root/etc/headroom/headroom.yml"
own --force-confold --install "$deb" >/dev/null
[ "$(cat "$root/etc/headroom/headroom.yml")" = 'every: 5s' ] || fail "the config was overwritten"
mkdir -p "$root/var/lib/headroom"
own --purge headroom >/dev/null
left=$(find "$root" -name '*headroom*' -not -path "$root/var/lib/dpkg/*")
[ -z "$left" ] || fail "it leaves $left"
