// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/headroom-project/headroom/agent/config"
)

const (
	root  = "../../"
	chart = root + "deploy/helm/headroom"
)

// helm runs helm and returns its output, and its error output if it fails.
func helm(arguments ...string) (string, error) {
	cmd := exec.Command(root+"scripts/helm.sh", arguments...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), errors.New(complaint.String())
	}
	return out.String(), nil
}

// An object is a Kubernetes object that the chart makes.
type object = map[string]any

// render returns the objects that the chart makes from values, by kind/name. Later
// values take precedence over earlier ones.
func render(t *testing.T, values ...string) map[string]object {
	t.Helper()
	return renderChart(t, chart, values...)
}

func renderChart(t *testing.T, dir string, values ...string) map[string]object {
	t.Helper()
	text, err := template(t, dir, values...)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]object{}
	for dec := yaml.NewDecoder(strings.NewReader(text)); ; {
		var o object
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			return made
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if o != nil {
			made[at[string](t, o, "kind")+"/"+at[string](t, o, "metadata", "name")] = o
		}
	}
}

func template(t *testing.T, dir string, values ...string) (string, error) {
	t.Helper()
	args := []string{"template", "headroom", dir, "--namespace", "watch"}
	for _, text := range values {
		file, err := os.CreateTemp(t.TempDir(), "*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--values", file.Name())
	}
	return helm(args...)
}

// at returns the value at a path of names and indexes.
func at[T any](t *testing.T, o any, path ...any) T {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			if made, ok := o.(map[string]object); ok {
				o = made[step]
			} else {
				o = o.(object)[step]
			}
		case int:
			o = o.([]any)[step]
		}
	}
	v, ok := o.(T)
	if !ok {
		t.Fatalf("%v is %T, want %T", path, o, v)
	}
	return v
}

const daemonSet = "DaemonSet/headroom"

func podOf(t *testing.T, made map[string]object) object {
	t.Helper()
	return at[object](t, made[daemonSet], "spec", "template", "spec")
}

func containerOf(t *testing.T, made map[string]object) object {
	t.Helper()
	return at[object](t, podOf(t, made), "containers", 0)
}

// strs converts a decoded list to a list of strings.
func strs(t *testing.T, list any) []string {
	t.Helper()
	var all []string
	for _, s := range list.([]any) {
		all = append(all, s.(string))
	}
	return all
}

func TestLint(t *testing.T) {
	if out, err := helm("lint", "--strict", chart); err != nil {
		t.Errorf("helm lint: %v\n%s", err, out)
	}
}

// TestDefaults checks that the pod has the privileges that it needs and no more.
func TestDefaults(t *testing.T) {
	made := render(t, "")
	want := []string{"ClusterRole/headroom", "ClusterRoleBinding/headroom", "ConfigMap/headroom", daemonSet, "Service/headroom", "ServiceAccount/headroom"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(made))); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	pod, container := podOf(t, made), containerOf(t, made)
	allowed := object{"runAsUser": 0, "privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
		"capabilities": object{"drop": []any{"ALL"}, "add": []any{"BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH"}}}
	if diff := cmp.Diff(allowed, container["securityContext"]); diff != "" {
		t.Errorf("securityContext (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(object{"seccompProfile": object{"type": "RuntimeDefault"}, "appArmorProfile": object{"type": "Unconfined"}}, pod["securityContext"]); diff != "" {
		t.Errorf("securityContext of the pod (-want +got):\n%s", diff)
	}
	for _, key := range []string{"hostPID", "hostNetwork", "automountServiceAccountToken"} {
		if pod[key] != true {
			t.Errorf("%s = %v, want true", key, pod[key])
		}
	}
	writable := 0
	for _, m := range at[[]any](t, container, "volumeMounts") {
		if m.(object)["readOnly"] != true {
			writable++
		}
	}
	if writable != 1 {
		t.Errorf("%d mounts are writable, want one, for its state", writable)
	}
	rules := []any{
		object{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"list", "watch"}},
		object{"apiGroups": []any{""}, "resources": []any{"events"}, "verbs": []any{"create", "patch"}},
		object{"apiGroups": []any{""}, "resources": []any{"nodes/pods"}, "verbs": []any{"get"}},
	}
	if diff := cmp.Diff(rules, made["ClusterRole/headroom"]["rules"]); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if got := at[string](t, made, "ClusterRoleBinding/headroom", "subjects", 0, "namespace"); got != "watch" {
		t.Errorf("the role is bound in namespace %s, want that of the release", got)
	}
}

// TestConfig checks that the agent gets the config from the values, and that a
// changed config changes the pod.
func TestConfig(t *testing.T) {
	const annotations = "checksum/config"
	values := "config:\n  window: 1m\n  memory: 134217728\n  mute: [{id: memory-growth, reason: \"a cache: {{ it }} grows\"}]\n"
	made := render(t, values)
	text := at[string](t, made["ConfigMap/headroom"], "data", "headroom.yml")
	got, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if got.Window.String() != "1m0s" || got.Memory != 128<<20 || len(got.Mute) != 1 || got.Mute[0].Reason != "a cache: {{ it }} grows" {
		t.Errorf("the agent reads %+v of\n%s", got, text)
	}
	before := at[string](t, render(t, ""), daemonSet, "spec", "template", "metadata", "annotations", annotations)
	if after := at[string](t, made, daemonSet, "spec", "template", "metadata", "annotations", annotations); after == before {
		t.Error("another config makes the same pod: no agent would read it")
	}
	if text := at[string](t, render(t, ""), "ConfigMap/headroom", "data", "headroom.yml"); text != "" {
		if _, err := config.Parse([]byte(text)); err != nil {
			t.Errorf("the agent refuses the default: %v", err)
		}
	}
}

// TestOptions has a case for each value that adds or removes something.
func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name, values string
		check        func(t *testing.T, made map[string]object)
	}{
		{"old kernel", "oldKernel: true", func(t *testing.T, made map[string]object) {
			want := []string{"BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH", "SYS_RESOURCE"}
			if diff := cmp.Diff(want, strs(t, at[any](t, containerOf(t, made), "securityContext", "capabilities", "add"))); diff != "" {
				t.Error(diff)
			}
		}},
		{"no API server", "kubernetes: {enabled: false}", func(t *testing.T, made map[string]object) {
			if made["ClusterRole/headroom"] != nil || podOf(t, made)["automountServiceAccountToken"] != false {
				t.Error("it has a role or a token, which it does not need")
			}
			hasArgument(t, made, "--kubernetes=off")
		}},
		{"passwords of brokers", "brokersSecret: broker-passwords", func(t *testing.T, made map[string]object) {
			volumes := at[[]any](t, podOf(t, made), "volumes")
			if !slices.ContainsFunc(volumes, func(v any) bool {
				return reflect.DeepEqual(v.(object)["secret"], object{"secretName": "broker-passwords", "defaultMode": 0o400})
			}) {
				t.Errorf("volumes %v, want the Secret, readable for its owner only", volumes)
			}
		}},
		{"an account of others", "serviceAccount: {create: false, name: theirs}", func(t *testing.T, made map[string]object) {
			if made["ServiceAccount/headroom"] != nil {
				t.Error("it makes an account")
			}
			if got := at[string](t, made, "ClusterRoleBinding/headroom", "subjects", 0, "name"); got != "theirs" {
				t.Errorf("bound to %s", got)
			}
			if got := podOf(t, made)["serviceAccountName"]; got != "theirs" {
				t.Errorf("runs as %s", got)
			}
		}},
		{"a pod's network", "{hostNetwork: false, networkPolicy: {enabled: true, from: [{podSelector: {}}]}}", func(t *testing.T, made map[string]object) {
			if podOf(t, made)["hostNetwork"] != nil {
				t.Error("it is in the host's network")
			}
			if got := len(at[[]any](t, made, "NetworkPolicy/headroom", "spec", "ingress", 0, "from")); got != 1 {
				t.Errorf("%d may connect, want 1", got)
			}
		}},
		{"scraped once", "podMonitor: {enabled: true}", func(t *testing.T, made map[string]object) {
			if _, ok := at[object](t, made, daemonSet, "spec", "template", "metadata", "annotations")["prometheus.io/scrape"]; ok {
				t.Error("it is scraped twice: by annotations too")
			}
		}},
		{"nothing kept", "storage: {hostPath: \"\"}", func(t *testing.T, made map[string]object) {
			if _, ok := environment(t, made)["STATE_DIRECTORY"]; ok || len(at[[]any](t, podOf(t, made), "volumes")) != 3 {
				t.Errorf("it keeps: %v", podOf(t, made)["volumes"])
			}
		}},
		{"kept elsewhere", "storage: {hostPath: /data/fast/headroom-1}", func(t *testing.T, made map[string]object) {
			if volumes := at[[]any](t, podOf(t, made), "volumes"); at[string](t, volumes[len(volumes)-1], "hostPath", "path") != "/data/fast/headroom-1" {
				t.Errorf("volumes %v", volumes)
			}
		}},
		{"a name of a proxy", "extraArgs: [--web.allowed-host=headroom.example]", func(t *testing.T, made map[string]object) {
			hasArgument(t, made, "--web.allowed-host=headroom.example")
		}},
		{"OTLP", "otlp: {endpoint: \"http://collector:4318\", headersSecret: {name: otlp}}", func(t *testing.T, made map[string]object) {
			env := environment(t, made)
			if env["OTEL_EXPORTER_OTLP_ENDPOINT"]["value"] != "http://collector:4318" {
				t.Errorf("environment %v", env)
			}
			if got := at[string](t, env["OTEL_EXPORTER_OTLP_HEADERS"], "valueFrom", "secretKeyRef", "key"); got != "headers" {
				t.Errorf("headers are at %s", got)
			}
		}},
		{"a priority", "priorityClass: {create: true}", func(t *testing.T, made map[string]object) {
			if made["PriorityClass/headroom"]["value"] != 1000000 || podOf(t, made)["priorityClassName"] != "headroom" {
				t.Errorf("class %v, pod has %v", made["PriorityClass/headroom"], podOf(t, made)["priorityClassName"])
			}
		}},
		{"a digest", "image: {repository: r.example/headroom, digest: \"sha256:" + strings.Repeat("0", 64) + "\"}", func(t *testing.T, made map[string]object) {
			if got := at[string](t, containerOf(t, made), "image"); got != "r.example/headroom@sha256:"+strings.Repeat("0", 64) {
				t.Errorf("image %s", got)
			}
		}},
		{"dashboards", "dashboards: {enabled: true, namespace: grafana}", checkDashboards},
		{"rules", "prometheusRule: {enabled: true, labels: {release: prometheus}}", func(t *testing.T, made map[string]object) {
			text, err := os.ReadFile(root + "dashboards/rules.yaml")
			if err != nil {
				t.Fatal(err)
			}
			var want object
			if err := yaml.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, at[object](t, made, "PrometheusRule/headroom", "spec")); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
			if at[string](t, made, "PrometheusRule/headroom", "metadata", "labels", "release") != "prometheus" {
				t.Error("the label that Prometheus selects by is lost")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, render(t, c.values)) })
	}
}

// checkDashboards compares the ConfigMaps for Grafana with the source.
func checkDashboards(t *testing.T, made map[string]object) {
	files, err := filepath.Glob(root + "dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no dashboards:", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		o := made["ConfigMap/headroom-dashboard-"+strings.TrimSuffix(strings.TrimPrefix(name, "headroom-"), ".json")]
		if o == nil {
			t.Errorf("no ConfigMap of %s", name)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want, got any
		if err := errors.Join(json.Unmarshal(text, &want), json.Unmarshal([]byte(at[string](t, o, "data", name)), &got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if at[string](t, o, "metadata", "labels", "grafana_dashboard") != "1" || at[string](t, o, "metadata", "namespace") != "grafana" {
			t.Errorf("Grafana's sidecar does not find %v", o["metadata"])
		}
	}
}

func environment(t *testing.T, made map[string]object) map[string]object {
	t.Helper()
	all := map[string]object{}
	for _, e := range at[[]any](t, containerOf(t, made), "env") {
		all[at[string](t, e, "name")] = e.(object)
	}
	return all
}

func hasArgument(t *testing.T, made map[string]object, want string) {
	t.Helper()
	if got := strs(t, containerOf(t, made)["args"]); !slices.Contains(got, want) {
		t.Errorf("arguments %v, want %s", got, want)
	}
}

// TestConfigKeys checks that the schema has exactly the keys of the agent's config.
func TestConfigKeys(t *testing.T) {
	text, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema object
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	keys := at[object](t, schema, "properties", "config", "properties")
	sameKeys(t, reflect.TypeFor[config.Config](), keys)
	sameKeys(t, reflect.TypeFor[config.Mute](), at[object](t, keys, "mute", "items", "properties"), "line")
	sameKeys(t, reflect.TypeFor[config.Threshold](), at[object](t, keys, "thresholds", "items", "properties"), "line")
	sameKeys(t, reflect.TypeFor[config.Broker](), at[object](t, keys, "brokers", "items", "properties"), "line")
	sameKeys(t, reflect.TypeFor[config.Storage](), at[object](t, keys, "storage", "properties"))
	// The protocol has only one value, so the config has no field for it.
	sameKeys(t, reflect.TypeFor[config.OTLP](), at[object](t, keys, "otlp", "properties"), "protocol")
}

// sameKeys compares the fields of a struct with the keys of a schema, except those
// in but.
func sameKeys(t *testing.T, of reflect.Type, schema object, but ...string) {
	t.Helper()
	var fields, keys []string
	for i := range of.NumField() {
		fields = append(fields, strings.ToLower(of.Field(i).Name))
	}
	for key := range schema {
		keys = append(keys, strings.ReplaceAll(key, "_", ""))
	}
	left := func(all []string) []string {
		slices.Sort(all)
		return slices.DeleteFunc(all, func(s string) bool { return slices.Contains(but, s) })
	}
	if diff := cmp.Diff(left(fields), left(keys)); diff != "" {
		t.Errorf("keys of %v in the schema (-agent +schema):\n%s", of, diff)
	}
}

// TestRefused checks that helm reports mistakes before it installs anything.
func TestRefused(t *testing.T) {
	for values, why := range map[string]string{
		"hostPid: true":       "hostPid",
		"image: {tagg: x}":    "tagg",
		"port: 99999":         "port",
		"port: \"9779\"":      "port",
		"logLevel: verbose":   "logLevel",
		"web: {tls: true}":    "tls",
		"web: {expose: none}": "expose",
		"web: {expose: all, config: {secretName: own}}":                                   "read findings",
		"web: {config: {password: true}}":                                                 "set web.config.secretName",
		"web: {config: {secretName: own, clientCertificates: true}}":                      "web.config.tls",
		"web: {password: {enabled: true}, config: {secretName: own}}":                     "remove web.password",
		"web: {tls: {secretName: a, certManager: {enabled: true}}}":                       "issuerRef",
		"web: {tls: {secretName: a, certManager: {enabled: true, issuerRef: {name: b}}}}": "not both",
		"web: {password: {enabled: true, value: short}}":                                  "value",
		"web: {password: {username: \"a:b\"}}":                                            "username",
		"extraArgs: [--web.listen-address=:9779]":                                         "extraArgs",
		"{web: {tls: {secretName: a}}, podMonitor: {enabled: true}}":                      "serverName",
		"{web: {config: {secretName: a, password: true}}, podMonitor: {enabled: true}}":   "basicAuth",
		"podMonitor: {enabled: true, interval: 9s}":                                       "is longer than",
		"podMonitor: {enabled: true, interval: 1m, scrapeTimeout: 1m0s1ms}":               "is longer than",
		"config: {windw: 3s}":                                        "windw",
		"config: {mute: [{name: memory-growth}]}":                    "name",
		"config: {thresholds: [{id: cpu-throttled}]}":                "set",
		"config: {storage: {hostPath: /x}}":                          "hostPath",
		"config: {otlp: {url: x}}":                                   "url",
		"storage: {hostPath: /etc}":                                  "hostPath",
		"storage: {hostPath: /}":                                     "hostPath",
		"storage: {hostPath: /var/lib}":                              "hostPath",
		"storage: {hostPath: /var/lib/kubelet}":                      "hostPath",
		"storage: {hostPath: /headroom/..}":                          "hostPath",
		"storage: {hostPath: /var/lib/headroom/../kubelet-headroom}": "hostPath",
		"config: [window]":                                           "config",
		"storage: {hostPath: var/lib}":                               "hostPath",
		"otlp: {endpoint: \"collector:4318\"}":                       "endpoint",
		"otlp: {protocol: grpc}":                                     "protocol",
		"podMonitor: {interval: 15}":                                 "interval",
		"tolerations: [{oprator: Exists}]":                           "oprator",
		"nodeSelector: {gpu: true}":                                  "nodeSelector",
		"extraArgs: [agent]":                                         "extraArgs",
		"image: {digest: \"sha256:1\"}":                              "digest",
		"networkPolicy: {enabled: true}":                             "do not hold",
		"updateStrategy: {type: Recreate}":                           "updateStrategy",
		"resources: {limit: {memory: 1Gi}}":                          "limit",
		"fullnameOverride: \"Not A Name\"":                           "fullnameOverride",
		"serviceAccount: {annotations: {a: [1]}}":                    "annotations",
		"dashboards: {label: {a: b}}":                                "label",
		"serviceAccount: {create: false}":                            "default account",
	} {
		if _, err := template(t, chart, values); err == nil {
			t.Errorf("%s was accepted", values)
		} else if !strings.Contains(err.Error(), why) {
			t.Errorf("%s was refused, and the reason does not name %s: %v", values, why, err)
		}
	}
}
