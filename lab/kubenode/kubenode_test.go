// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/analyzers/report"
)

// kubectl runs kubectl as the administrator, and fails the test if kubectl fails.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := node.kubectl("", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNode is a sequence of parts: each one depends on the state that the previous
// ones leave. All need the node and the agent.
func TestNode(t *testing.T) {
	for i, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"the node is Ready", nodeReady},
		{"the chart is installed", install},
		{"what stalls is found", findingsOfPods},
		{"its Events are shown", eventsOfPods},
		{"pods read metrics alone", podReads},
		{"Prometheus has its series", prometheusSeries},
		{"the agent's pod is deleted", agentDeleted},
		{"the agent is killed", agentKilled},
		{"the kubelet begins again", kubeletRestarts},
		{"the API server is gone for a minute", apiServerGone},
		{"the fix clears it", fixed},
		{"a new pod has the same finding", rollout},
		{"the node is drained", drained},
	} {
		if !t.Run(part.name, part.run) && i < 2 {
			t.Fatal(lastWords())
		}
	}
	node.cost(t)
	if t.Failed() {
		t.Log(lastWords())
	}
}

// lastWords returns the ends of all logs, including the agent's, and its findings.
func lastWords() string {
	agent, _ := run("sh", "-c", "tail -n 40 /var/log/pods/headroom_*/*/*.log")
	pods, _ := node.kubectl("", "describe", "pods", "-A")
	var thinks strings.Builder
	for _, f := range findings() {
		fmt.Fprintf(&thinks, "%s %s %s %+v: %s\n", f.State, f.ID, f.Cause, f.Subject, f.Summary)
	}
	return fmt.Sprint(node.lastWords(), "\n", pods, "\n", agent, "\n", thinks.String())
}

func nodeReady(t *testing.T) {
	until(t, "the node is Ready", time.Minute, func() bool {
		out, err := node.kubectl("", "get", "nodes", "--no-headers")
		return err == nil && strings.Contains(out, nodeName) && strings.Contains(out, " Ready ")
	})
	t.Log("\n" + kubectl(t, "get", "nodes", "-o", "wide"))
}

// install installs the chart with its defaults, except for the image.
func install(t *testing.T) {
	began := time.Now()
	out, err := node.helm("install", "headroom", "../../deploy/helm/headroom", "--namespace", "headroom", "--create-namespace",
		"--set", "image.repository=docker.io/library/headroom,image.tag=e2e,image.pullPolicy=Never", "--wait", "--timeout", "90s")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("helm install --wait: after %v\n%s", time.Since(began).Round(100*time.Millisecond), out)
	// Helm considers a DaemonSet ready when all but maxUnavailable of its pods are
	// ready: with one pod that means none.
	kubectl(t, "rollout", "status", "daemonset/headroom", "-n", "headroom", "--timeout=60s")
	t.Logf("the agent's pod is Ready: after %v\n%s", time.Since(began).Round(100*time.Millisecond), kubectl(t, "get", "pods", "-n", "headroom", "-o", "wide"))
	notPrivileged(t)
	until(t, "the agent names pods", time.Minute, is("headroom_kube_up", 1))
	if n, ok := metric("headroom_sampler_open{sampler=\"[a-z]*stall\"}"); ok && n != 1 {
		t.Error("the probe of event loops is not open")
	}
}

// notPrivileged reads the agent's privileges from the kernel, and compares them with
// the chart.
func notPrivileged(t *testing.T) {
	t.Helper()
	status, err := os.ReadFile("/proc/" + agentPID(t) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t000000c000080004", "CapBnd:\t000000c000080004"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the status of the agent's process lacks %q:\n%s", want, status)
		}
	}
}

// agentPID returns the pid of the agent, which is in the node's network namespace.
func agentPID(t *testing.T) string {
	t.Helper()
	pid, err := run("pgrep", "-x", "headroom", "--ns", fmt.Sprint(os.Getpid()), "--nslist", "net")
	if err != nil {
		t.Fatalf("the agent's process: %v", err)
	}
	return strings.TrimSpace(pid)
}

func findingsOfPods(t *testing.T) {
	kubectl(t, "apply", "-f", "testdata/shop.yaml")
	kubectl(t, "rollout", "status", "deployment/stalls", "-n", "shop", "--timeout=60s")
	f := finds(t, "stalls", blocked, podOf(t, "stalls"))
	if f.Cause != "on-cpu" || !strings.Contains(f.Key, "shop/deployment/stalls/server") {
		t.Errorf("cause = %s, key = %s", f.Cause, f.Key)
	}
	show(t, f)
	f = finds(t, "throttled", throttled, podOf(t, "throttled"))
	show(t, f)
	if len(f.Recommendations) == 0 || !strings.Contains(f.Recommendations[0].Action, "resources.limits.cpu of container server in deployment/throttled (namespace shop) from 200m to ") {
		t.Errorf("recommendations = %+v, want the field of the manifest", f.Recommendations)
	}
	for _, g := range findings() {
		if g.ID == throttled && g.Key != f.Key && g.Subject.Pod == f.Subject.Pod {
			t.Errorf("the pod of the container is found too: %s", g.Summary)
		}
	}
}

func show(t *testing.T, f any) {
	t.Helper()
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", b)
}

func eventsOfPods(t *testing.T) {
	for deployment, reason := range map[string]string{"stalls": "EventLoopBlocked", "throttled": "CPUThrottled"} {
		pod := podOf(t, deployment)
		until(t, "the Event "+reason, 30*time.Second, func() bool { return len(told(t, reason, pod)) > 0 })
		uid := kubectl(t, "get", "pod", pod, "-n", "shop", "-o", "jsonpath={.metadata.uid}")
		if e := told(t, reason, pod)[0]; e.Type != "Warning" || e.Involved.UID != uid {
			t.Errorf("event = %+v, want a Warning about the pod %s", e, uid)
		}
		if shown := kubectl(t, "describe", "pod", pod, "-n", "shop"); !strings.Contains(shown, reason) {
			t.Errorf("kubectl describe does not show %s:\n%s", reason, shown)
		}
	}
	showEvents(t)
}

// showEvents shows the Events with the command in the chart's notes.
func showEvents(t *testing.T) {
	t.Helper()
	shown := kubectl(t, "get", "events", "-A", "--field-selector", "reportingComponent=headroom")
	if !strings.Contains(shown, "EventLoopBlocked") {
		t.Error("kubectl get events does not show it")
	}
	t.Log("\n" + shown)
}

// askStatus prints the status of the answer to a request.
const askStatus = `require("http").get(process.argv[1], r => { process.stdout.write(String(r.statusCode)); r.destroy() })`

// podReads sends requests to the agent from the network of a pod: it must serve
// metrics and health there, but neither the page nor the API.
func podReads(t *testing.T) {
	f := of("stalls", blocked, firing)
	if f == nil {
		t.Fatal("the finding is gone")
	}
	for path, want := range map[string]string{
		"/metrics": "200", "/healthz": "200", "/readyz": "200", "/": "404", "/api/v1/findings": "404", "/api/v1/findings/history": "404", "/api/v1/services": "404",
	} {
		got, err := run("nsenter", "--target", strconv.Itoa(f.Subject.PID), "--net", "node", "-e", askStatus, "http://"+agentAddress+path)
		if err != nil || got != want {
			t.Errorf("GET %s from a pod = %s (%v), want %s", path, got, err, want)
		}
	}
}

const prometheusAddress = "127.0.0.1:9090"

func prometheusSeries(t *testing.T) {
	config := node.path("prometheus.yml")
	text := "global: {scrape_interval: 2s}\nscrape_configs:\n- job_name: headroom\n  static_configs: [{targets: ['" + agentAddress + "']}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := node.start("prometheus", "--config.file="+config, "--storage.tsdb.path="+node.path("tsdb"), "--web.listen-address="+prometheusAddress); err != nil {
		t.Fatal(err)
	}
	labels := fmt.Sprintf(`{k8s_namespace_name="shop", k8s_pod_name="%s", container_name="server"}`, podOf(t, "stalls"))
	for _, expr := range []string{
		`up{job="headroom"} == 1`,
		"headroom_loop_busy_time_seconds_total" + labels,
		`rate(headroom_cgroup_cpu_time_seconds_total` + labels + "[1m]) > 0",
		"k8s_container_cpu_request" + labels + " == 0.1",
		`headroom_findings{id="event-loop-blocked", state="firing", k8s_namespace_name="shop", container_name="server"} > 0`,
	} {
		awaitSeries(t, expr)
	}
}

// awaitSeries waits until Prometheus has a series. If it does not appear, the error
// shows the agent's series of that name.
func awaitSeries(t *testing.T, expr string) {
	t.Helper()
	for range 60 {
		if series(expr) > 0 {
			t.Log(expr)
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	body, err := get(agentAddress, "/metrics")
	name := regexp.MustCompile(`[a-z_]+_[a-z_]+`).FindString(expr)
	t.Errorf("Prometheus has no %s; the agent has (%v)\n%s", expr, err, strings.Join(regexp.MustCompile("(?m)^"+name+".*$").FindAllString(body, 40), "\n"))
}

func agentDeleted(t *testing.T) {
	before, _ := agentPod(t)
	f := of("stalls", blocked, firing)
	if f == nil {
		t.Fatal("the finding is gone")
	}
	began := time.Now()
	kubectl(t, "delete", "pod", before, "-n", "headroom")
	kubectl(t, "rollout", "status", "daemonset/headroom", "-n", "headroom", "--timeout=60s")
	if after, _ := agentPod(t); after == before {
		t.Errorf("the pod %s was not replaced", before)
	}
	if now := findsAgain(t, "stalls", blocked, podOf(t, "stalls"), began); now.Key != f.Key {
		t.Errorf("key = %s, was %s", now.Key, f.Key)
	}
}

func agentKilled(t *testing.T) {
	_, before := agentPod(t)
	began := time.Now()
	if _, err := run("kill", "-KILL", agentPID(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "its container begins again", time.Minute, func() bool { _, n := agentPod(t); return n > before })
	kubectl(t, "rollout", "status", "daemonset/headroom", "-n", "headroom", "--timeout=60s")
	findsAgain(t, "stalls", blocked, podOf(t, "stalls"), began)
}

// unharmed runs f, and checks that the agent keeps running.
func unharmed(t *testing.T, f func()) {
	t.Helper()
	name, restarts := agentPod(t)
	looks, _ := metric("headroom_judgements_total")
	f()
	if after, n := agentPod(t); after != name || n != restarts {
		t.Errorf("the agent's pod is %s with %d restarts, was %s with %d", after, n, name, restarts)
	}
	if more, ok := metric("headroom_judgements_total"); !ok || more <= looks {
		t.Errorf("the agent evaluated %v windows, and %v before", more, looks)
	}
}

func kubeletRestarts(t *testing.T) {
	unharmed(t, func() {
		if err := node.kill("kubelet"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		if of("stalls", blocked, firing) == nil {
			t.Error("without a kubelet the finding is gone")
		}
		if err := node.startKubelet(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		until(t, "the kubelet tells the API server that it lives", time.Minute, func() bool {
			said, err := node.kubectl("", "get", "lease", nodeName, "-n", "kube-node-lease", "-o", "jsonpath={.spec.renewTime}")
			at, bad := time.Parse(time.RFC3339Nano, said)
			return err == nil && bad == nil && at.After(began)
		})
		nodeReady(t)
		findsAgain(t, "stalls", blocked, podOf(t, "stalls"), began)
	})
}

// apiServerGone kills the API server: a fault that starts in the meantime must be
// found, with its names, and its Event must be written after the restart.
func apiServerGone(t *testing.T) {
	pod := podOf(t, "late")
	ip := kubectl(t, "get", "pod", pod, "-n", "shop", "-o", "jsonpath={.status.podIP}")
	unharmed(t, func() {
		if err := node.kill("kube-apiserver"); err != nil {
			t.Fatal(err)
		}
		back := time.Now().Add(time.Minute)
		tell(t, ip, 250*time.Millisecond)
		began := time.Now()
		until(t, "the agent says that the API server does not answer", 45*time.Second, is("headroom_kube_up", 0))
		finds(t, "late", blocked, pod)
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v, want at most a minute", took)
		}
		time.Sleep(time.Until(back))
		if err := node.startAPI(); err != nil {
			t.Fatal(err)
		}
		until(t, "the agent says that it answers", time.Minute, is("headroom_kube_up", 1))
		until(t, "the Event comes", 2*time.Minute, func() bool { return len(told(t, "EventLoopBlocked", pod)) > 0 })
	})
	log, err := run("sh", "-c", "cat /var/log/pods/headroom_*/*/*.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the API server cannot be reached", "listing this node's pods from the API server works again"} {
		if n := strings.Count(log, want); n == 0 {
			t.Errorf("the agent's log does not contain %q:\n%s", want, log)
		}
	}
}

func fixed(t *testing.T) {
	pod := podOf(t, "late")
	stall(t, pod, 0)
	clears(t, "late", blocked)
	if of("late", blocked, cleared) == nil {
		t.Error("no Event reports the finding as cleared")
	}
	until(t, "the Event that it is over", 30*time.Second, func() bool { return len(told(t, "EventLoopBlockedCleared", pod)) > 0 })
	showEvents(t)
}

func rollout(t *testing.T) {
	f, before := of("stalls", blocked, firing), podOf(t, "stalls")
	if f == nil {
		t.Fatal("the finding is gone")
	}
	kubectl(t, "rollout", "restart", "deployment/stalls", "-n", "shop")
	kubectl(t, "rollout", "status", "deployment/stalls", "-n", "shop", "--timeout=60s")
	after := podOf(t, "stalls")
	if after == before {
		t.Fatalf("the pod %s was not replaced", before)
	}
	if now := finds(t, "stalls", blocked, after); now.Key != f.Key {
		t.Errorf("key = %s, was %s", now.Key, f.Key)
	}
	if n := len(slices.DeleteFunc(findings(), func(g *report.Finding) bool { return g.Key != f.Key })); n != 1 {
		t.Errorf("%d findings have the key %s", n, f.Key)
	}
}

func drained(t *testing.T) {
	unharmed(t, func() {
		kubectl(t, "drain", nodeName, "--ignore-daemonsets", "--timeout=60s")
		for _, id := range []string{blocked, throttled} {
			clears(t, map[string]string{blocked: "stalls", throttled: "throttled"}[id], id)
		}
		kubectl(t, "uncordon", nodeName)
		finds(t, "stalls", blocked, podOf(t, "stalls"))
	})
}
