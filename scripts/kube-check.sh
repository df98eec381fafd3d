#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks the manifests with a real API server: kube-apiserver and etcd on loopback,
# without nodes. It must refuse invalid manifests, and accept the shop, the DaemonSet
# and the Helm chart, with the CRDs of the Prometheus operator. The first run builds
# Kubernetes, which takes about 15 minutes on two cores; later runs take half a
# minute.
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=v1.37.2
OPERATOR=v0.85.0
CERT_MANAGER=v1.21.2
SHOP=examples/reference
scripts/deps.sh deploy/packages.txt
minor=${VERSION#v1.}
pkg=k8s.io/component-base/version
bin=$(LDFLAGS="-X $pkg.gitVersion=$VERSION -X $pkg.gitMajor=1 -X $pkg.gitMinor=${minor%%.*}" \
	scripts/go-tool.sh k8s.io/kubernetes@$VERSION cmd/kube-apiserver cmd/kubectl)

work=$(mktemp -d)
pids=()
# Kill everything: a graceful shutdown of the API server would take a minute.
finish() {
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

PEER=21380 CLIENT=21379 API=21443
etcd --name check --data-dir "$work/etcd" --listen-peer-urls http://127.0.0.1:$PEER --listen-client-urls http://127.0.0.1:$CLIENT \
	--initial-advertise-peer-urls http://127.0.0.1:$PEER --advertise-client-urls http://127.0.0.1:$CLIENT \
	--initial-cluster check=http://127.0.0.1:$PEER >"$work/etcd.log" 2>&1 &
pids+=($!)

openssl genrsa -out "$work/sa.key" 2048 2>/dev/null
openssl rsa -in "$work/sa.key" -pubout -out "$work/sa.pub" 2>/dev/null
token=$(openssl rand -hex 16)
echo "$token,admin,admin,system:masters" >"$work/tokens"
"$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:$CLIENT --bind-address=127.0.0.1 --secure-port=$API --cert-dir="$work/certs" \
	--token-auth-file="$work/tokens" --authorization-mode=RBAC --endpoint-reconciler-type=none --service-cluster-ip-range=10.96.0.0/16 \
	--service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$work/sa.pub" \
	--service-account-signing-key-file="$work/sa.key" --allow-privileged=true >"$work/apiserver.log" 2>&1 &
pids+=($!)

cat >"$work/kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
current-context: check
contexts: [{name: check, context: {cluster: check, user: admin}}]
clusters: [{name: check, cluster: {server: "https://127.0.0.1:$API", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: $token}}]
CONFIG
export KUBECONFIG=$work/kubeconfig
kubectl() { "$bin/kubectl" --cache-dir="$work/cache" "$@"; }

for ((n = 0; ; n++)); do
	kubectl get --raw /readyz >/dev/null 2>&1 && break
	if ((n >= 120)) || ! kill -0 "${pids[1]}" 2>/dev/null; then
		tail -n 5 "$work"/*.log
		fail "the API server is not ready"
	fi
	sleep 0.5
done
echo "== API server $(kubectl version -o json | jq -r .serverVersion.gitVersion)"

# refused WHY WHAT: the server must refuse the manifest on standard input with a message that contains WHY.
refused() {
	local said
	if said=$(kubectl apply --dry-run=server --validate=strict -f - 2>&1); then fail "the server took $2"; fi
	grep -q -- "$1" <<<"$said" || fail "$2 was refused, but not for $1: $said"
	echo "refused, as it should be: $2: $(grep -o -- "$1[^,]*" <<<"$said" | head -n 1)"
}
# take FILE...: the server must accept the files without a warning.
take() { kubectl apply --server-side --validate=strict --warnings-as-errors "$@"; }

kubectl kustomize $SHOP >"$work/shop.yaml"
kubectl create -f $SHOP/kubernetes/namespace.yaml >/dev/null
kubectl create namespace headroom >/dev/null

echo "== what is wrong is refused"
sed 's/readinessProbe:/readynessProbe:/' "$work/shop.yaml" | refused 'unknown field "[^"]*readynessProbe"' "a misspelt field"
sed 's/resources: {requests: {storage: 2Gi}}/resources: {requests: {storage: 2Gigs}}/; s/storage: 2Gi/storage: 2Gigs/' "$work/shop.yaml" |
	refused 'quantities must match' "a quantity that is none"
sed 's/hostPID: true/hostPid: true/' deploy/daemonset.yaml | refused 'unknown field "[^"]*hostPid"' "a misspelt field of the DaemonSet"
# pods WHERE: prints the pods that a controller would make from the workloads there.
pods() {
	kubectl get deployments,statefulsets,daemonsets -n "$1" -o json | jq '{apiVersion: "v1", kind: "List", items: [.items[] |
		{apiVersion: "v1", kind: "Pod", metadata: {name: .metadata.name, namespace: .metadata.namespace, labels: .spec.template.metadata.labels}}
		+ {spec: (.spec.template.spec + {volumes: ((.spec.template.spec.volumes // []) + [.spec.volumeClaimTemplates[]?.metadata.name | {name: ., emptyDir: {}}])})}]}'
}

echo "== dry run"
take --dry-run=server -f "$work/shop.yaml"
take --dry-run=server -f deploy/daemonset.yaml

echo "== applied"
take -f "$work/shop.yaml" >/dev/null
take --force-conflicts -f deploy/daemonset.yaml >/dev/null
kubectl get deployments,statefulsets,services,configmaps,secrets -n headroom-reference
kubectl get daemonsets -n headroom

echo "== their pods, under the namespaces' pod security"
for namespace in headroom-reference headroom; do
	kubectl get serviceaccount default -n $namespace >/dev/null 2>&1 || kubectl create serviceaccount default -n $namespace >/dev/null
	pods $namespace >"$work/$namespace.json"
	kubectl create --dry-run=server -f "$work/$namespace.json"
done
jq '.items[].spec.containers[].securityContext = {privileged: true}' "$work/headroom-reference.json" | refused 'violates PodSecurity "restricted' "a privileged pod of the shop"

echo "== the chart"
# helm prints messages of the API server about an object as warnings.
chart() { # RELEASE NAMESPACE ARGUMENTS...
	local said
	said=$(scripts/helm.sh upgrade --install "$1" deploy/helm/headroom --namespace "$2" "${@:3}" 2>&1) || fail "helm: $said"
	! grep -i '^W[0-9]\|warning' <<<"$said" || fail "the server warns of $1"
	printf '%s\n' "$said" >"$work/$1.notes"
}
kubectl delete -f deploy/daemonset.yaml --wait=false >/dev/null
kubectl create namespace watch >/dev/null
kubectl label namespace watch pod-security.kubernetes.io/enforce=privileged >/dev/null
# definition MODULE FOLDER NAME: installs a CRD of the module.
definition() {
	take -f "$(${GO:-go} mod download -json "$1" | jq -r .Dir)/$2/${3#*.}_${3%%.*}.yaml" >/dev/null
	kubectl wait --for=condition=established "crd/$3" >/dev/null 2>&1 || fail "the server does not take $3"
}
for kind in podmonitors prometheusrules; do
	definition github.com/prometheus-operator/prometheus-operator@$OPERATOR example/prometheus-operator-crd $kind.monitoring.coreos.com
done
definition github.com/cert-manager/cert-manager@$CERT_MANAGER deploy/crds certificates.cert-manager.io
cat >"$work/everything.yaml" <<'VALUES'
config: {window: 1m, mute: [{id: memory-growth, service: cache}]}
web: {expose: all, tls: {certManager: {enabled: true, issuerRef: {name: ca}}}}
otlp: {endpoint: "https://collector.observability:4318", headersSecret: {name: otlp}}
oldKernel: true
hostNetwork: false
networkPolicy: {enabled: true, from: [{namespaceSelector: {}}]}
priorityClass: {create: true}
podMonitor: {enabled: true, relabelings: [{action: labeldrop, regex: pod}]}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboards: {enabled: true}
VALUES
for values in '' "--values $work/everything.yaml"; do
	# shellcheck disable=SC2086 # two words
	scripts/helm.sh template hr deploy/helm/headroom --namespace watch $values >"$work/chart.yaml"
	take --dry-run=server --force-conflicts -n watch -f "$work/chart.yaml" >/dev/null
	chart hr watch $values
	kubectl get daemonset hr-headroom -n watch >/dev/null
	pods watch >"$work/watch.json"
	kubectl create --dry-run=server -f "$work/watch.json"
done
password() { kubectl get secret hr-headroom-web -n watch -o 'jsonpath={.data.password}' | base64 -d; }
before=$(password)
[ ${#before} = 32 ] || fail "the password has ${#before} letters"
# shellcheck disable=SC2086 # two words
chart hr watch $values --set podMonitor.interval=20s
[ "$(password)" = "$before" ] || fail "an upgrade changes the password"
kubectl get certificates,configmaps,networkpolicies,podmonitors,prometheusrules,services -n watch -l app.kubernetes.io/instance=hr
sed 's/interval: 15s/interval: soon/' "$work/chart.yaml" | refused 'interval: Invalid value' "a PodMonitor that scrapes soon"
sed 's/policyTypes: \[Ingress\]/policyTypes: [Inward]/' "$work/chart.yaml" | refused 'policyTypes' "a NetworkPolicy of no type"
sed 's/issuerRef:/issuer:/' "$work/chart.yaml" | refused 'unknown field "[^"]*issuer"' "a Certificate without an issuer"
sed 's/  - alert: HeadroomEventLoopBlocked/  - alarm: HeadroomEventLoopBlocked/; s/- alert: HeadroomEventLoopBlocked/- alarm: HeadroomEventLoopBlocked/' "$work/chart.yaml" |
	refused 'unknown field "[^"]*alarm"' "a misspelt rule"
for want in 'daemonset/hr-headroom' 'https://127.0.0.1:9779/' 'get secret hr-headroom-web' SYS_RESOURCE; do
	grep -q "$want" "$work/hr.notes" || fail "the notes have no $want: $(cat "$work/hr.notes")"
done
# Check the permissions of the service account: allowed and denied.
can() { kubectl auth can-i "$@" --as=system:serviceaccount:watch:hr-headroom -A -q; }
can list pods && can watch pods && can create events && can patch events && can get nodes --subresource=pods || fail "the role lacks something"
for no in 'get secrets' 'delete pods' 'patch pods' 'create pods' 'get nodes --subresource=proxy' 'update events'; do
	# shellcheck disable=SC2086 # two words
	! can $no || fail "the role allows: $no"
done
scripts/helm.sh uninstall hr --namespace watch >/dev/null
[ -z "$(kubectl get daemonsets,configmaps,podmonitors,secrets,certificates -n watch -l app.kubernetes.io/instance=hr -o name)" ] || fail "helm uninstall leaves something"

echo "== what refers to what"
# A service without a workload or without its port, and a missing ConfigMap or
# Secret, are accepted by the server and fail later.
kubectl get services,deployments,statefulsets,configmaps,secrets -n headroom-reference -o json | jq -r '
	[.items[] | select(.kind == "Deployment" or .kind == "StatefulSet")] as $workloads |
	[.items[] | select(.kind == "ConfigMap" or .kind == "Secret") | .kind + "/" + .metadata.name] as $have |
	(.items[] | select(.kind == "Service") | . as $s |
		[$workloads[] | select(.spec.template.metadata.labels | contains($s.spec.selector))] |
		if length != 1 then "service \($s.metadata.name) selects \(length) workloads"
		else ([.[0].spec.template.spec.containers[].ports[]?.name]) as $ports |
			$s.spec.ports[] | select(.targetPort as $p | $ports | index($p) | not) | "service \($s.metadata.name): no port \(.targetPort)" end),
	($workloads[] | .metadata.name as $n | .spec.template.spec |
		(.volumes[]?.configMap.name // empty | "ConfigMap/" + .),
		(.containers[].envFrom[]? | (.configMapRef.name // empty | "ConfigMap/" + .), (.secretRef.name // empty | "Secret/" + .)),
		(.containers[].env[]?.valueFrom.secretKeyRef.name // empty | "Secret/" + .) |
		select(. as $want | $have | index($want) | not) | "\($n) wants \(.)")' >"$work/dangling"
[ ! -s "$work/dangling" ] || fail "$(cat "$work/dangling")"
echo "nothing dangles"
