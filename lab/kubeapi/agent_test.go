// SPDX-License-Identifier: Apache-2.0

package kubeapi

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// stalls is a server that gets no requests and blocks its event loop half of the time.
const stalls = `require("http").createServer((q, r) => r.end()).listen(0, "127.0.0.1")
setInterval(() => { const end = Date.now() + 300; while (Date.now() < end); }, 600)`

// inPod runs the program as in a pod: in a mount namespace with the token of a service
// account at the path where the kubelet mounts it.
const inPod = `mount -t tmpfs tmpfs /run && mkdir -p "$SECRETS" && cp "$CA" "$SECRETS/ca.crt" && printf %s "$TOKEN" >"$SECRETS/token" && exec "$0" "$@"`

// TestAgent checks the metrics, findings and Events of a server in a pod's cgroup.
// There is no kubelet: the test makes the cgroup, and the pod.
func TestAgent(t *testing.T) {
	p := pod{namespace: "web", name: "shop-7d9c5b8f6d-abcde", node: "node-3", owner: "ReplicaSet", ownerName: "shop-7d9c5b8f6d",
		labels: map[string]string{"pod-template-hash": "7d9c5b8f6d"}, containers: map[string]string{"api": ""}}
	uid := server.create(t, p)
	runIn(t, cgroupOf(t, uid, id("9")), "node", "-e", stalls)
	address := startAgent(t)
	named := regexp.MustCompile(`headroom_loop_busy_time_seconds_total\{[^}]*container_name="api"[^}]*k8s_namespace_name="web"[^}]*k8s_pod_name="` + p.name + `"`)
	outside.Eventually(t, patience, "the loop has a series by its pod", func() bool {
		return strings.Contains(get(address, "/metrics"), `k8s_pod_name="`+p.name+`"`)
	})
	if named.MatchString(get(address, "/metrics")) {
		t.Error("the container has a name before the status of its pod has its ID")
	}
	p.containers["api"] = id("9")
	server.run(t, p)
	outside.Eventually(t, patience, "the loop has a series by its container", func() bool { return named.MatchString(get(address, "/metrics")) })
	outside.Eventually(t, patience, "its request is exported", func() bool { return strings.Contains(get(address, "/metrics"), "k8s_container_cpu_request{") })
	var found report.Subject
	outside.Eventually(t, patience, "the finding fires", func() bool {
		var r report.Report
		if json.Unmarshal([]byte(get(address, "/api/v1/findings")), &r) != nil {
			return false
		}
		for _, f := range r.Findings {
			if f.ID == "event-loop-blocked" && f.State == "firing" && f.Subject.Container == "api" {
				found = f.Subject
				if !strings.Contains(f.Key, "web/deployment/shop/api") || strings.Contains(f.Key, p.name) {
					t.Errorf("key = %s, want one that does not depend on the pod's name", f.Key)
				}
				return true
			}
		}
		return false
	})
	if found.Namespace != "web" || found.Pod != p.name || found.Workload != "deployment/shop" {
		t.Errorf("subject = %+v", found)
	}
	outside.Eventually(t, patience, "it is an Event on the pod", func() bool {
		for _, e := range events(t, "web", p.name) {
			if e.Reason == "EventLoopBlocked" && e.Type == "Warning" && e.Involved.UID == uid {
				return true
			}
		}
		return false
	})
	if shown := get(address, "/metrics"); !strings.Contains(shown, "headroom_kube_up 1") || !strings.Contains(shown, `headroom_kube_events_total{result="sent"}`) {
		t.Error("the agent's own metrics do not show that it resolves pod names")
	}
}

// cgroupOf makes a cgroup as a kubelet does, below a cgroup of the test.
func cgroupOf(t *testing.T, uid, container string) *cgroups.Group {
	t.Helper()
	g, err := cgroups.New(filepath.Join("headroom-kubeapi/kubepods/besteffort/pod"+uid, container), nil, cgroups.Unified)
	outside.Must(t, err)
	t.Cleanup(func() { outside.Must(t, g.Delete()) })
	return g
}

// runIn runs a program in a cgroup until the test ends.
func runIn(t *testing.T, cgroup *cgroups.Group, args ...string) {
	t.Helper()
	cmd := cgroup.Command(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start(t, cmd)
}

func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// startAgent runs the built program, and returns its address.
func startAgent(t *testing.T) string {
	t.Helper()
	program, err := filepath.Abs("../../bin/headroom")
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(outside.FreePort(t))
	config := server.as(t, "headroom")
	cmd := exec.Command("unshare", "--mount", "sh", "-c", inPod, program, "agent", "--web.listen-address="+address)
	cmd.Env = append(os.Environ(), "SECRETS=/run/secrets/kubernetes.io/serviceaccount", "CA="+config.CAFile, "TOKEN="+config.BearerToken,
		"KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT="+server.apiPort, "NODE_NAME=node-3")
	out, err := os.Create(filepath.Join(t.TempDir(), "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start(t, cmd)
	t.Cleanup(func() {
		if said, _ := os.ReadFile(out.Name()); t.Failed() {
			t.Logf("log of the agent:\n%s", said)
		}
		if status, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status"); err == nil {
			t.Log(regexp.MustCompile(`(?s)VmHWM.*?RssFile[^\n]*`).FindString(string(status)))
		}
	})
	outside.Eventually(t, patience, "the agent is ready (make build)", func() bool { return get(address, "/readyz") != "" })
	return address
}

// get returns the agent's answer, and "" if there is none or it is an error.
func get(address, path string) string {
	status, body := outside.Get("http://" + address + path)
	if status != http.StatusOK {
		return ""
	}
	return body
}
