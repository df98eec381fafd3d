// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/analyzers/report"
)

const (
	// agentAddress is where the agent serves metrics: the address of the node.
	agentAddress = nodeIP + ":9779"
	// apiAddress is where it serves findings. Pods cannot reach it.
	apiAddress = "127.0.0.1:9779"
)

var client = &http.Client{Timeout: 5 * time.Second}

// get returns the answer of a server.
func get(address, path string) (string, error) {
	resp, err := client.Get("http://" + address + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s: %s", address, path, resp.Status)
	}
	return string(b), err
}

// findings returns the findings of the agent's API; none if it does not answer.
func findings() []*report.Finding {
	body, err := get(apiAddress, "/api/v1/findings")
	if err != nil {
		return nil
	}
	var r report.Report
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return nil
	}
	return r.Findings
}

// of returns the finding of an analyzer about a deployment's container, nil if there
// is none.
func of(deployment, id, state string) *report.Finding {
	for _, f := range findings() {
		s := f.Subject
		if f.ID == id && f.State == state && s.Namespace == "shop" && s.Workload == "deployment/"+deployment && s.Container == "server" {
			return f
		}
	}
	return nil
}

// The ids and states of findings in the tests.
const (
	blocked   = "event-loop-blocked"
	throttled = "cpu-throttled"
	firing    = "firing"
	cleared   = "cleared"
)

// finds waits for a firing finding about a deployment's pod, and returns it. Findings
// about a process do not fire in its first minute.
func finds(t *testing.T, deployment, id, pod string) *report.Finding {
	t.Helper()
	var f *report.Finding
	until(t, id+" of "+deployment+" fires", 90*time.Second, func() bool {
		f = of(deployment, id, firing)
		return f != nil && f.Subject.Pod == pod
	})
	return f
}

// findsAgain is finds for an agent with saved state: the stall must have started
// after since.
func findsAgain(t *testing.T, deployment, id, pod string, since time.Time) *report.Finding {
	t.Helper()
	var f *report.Finding
	until(t, id+" of "+deployment+" is seen again", 90*time.Second, func() bool {
		f = of(deployment, id, firing)
		return f != nil && f.Subject.Pod == pod && slices.ContainsFunc(f.Exemplars, func(e report.Exemplar) bool {
			began, err := time.Parse(time.RFC3339Nano, e.Start)
			return err == nil && began.After(since)
		})
	})
	return f
}

// clears waits until no finding about a deployment's pods fires.
func clears(t *testing.T, deployment, id string) {
	t.Helper()
	until(t, id+" of "+deployment+" is over", 4*time.Minute, func() bool {
		return of(deployment, id, firing) == nil && len(findings()) > 0
	})
}

// metric returns the value of the agent's first series that matches a pattern; ok is
// false if there is none.
func metric(series string) (value float64, ok bool) {
	body, err := get(agentAddress, "/metrics")
	if err != nil {
		return 0, false
	}
	line := regexp.MustCompile(`(?m)^` + series + ` (\S+)$`).FindStringSubmatch(body)
	if line == nil {
		return 0, false
	}
	value, err = strconv.ParseFloat(line[1], 64)
	return value, err == nil
}

// is returns a condition: the agent's series has the value want.
func is(series string, want float64) func() bool {
	return func() bool { v, ok := metric(series); return ok && v == want }
}

// An event has the fields of an Event that tests read.
type event struct {
	Involved              struct{ Name, UID string } `json:"involvedObject"`
	Reason, Type, Message string
	Last                  time.Time `json:"lastTimestamp"`
}

// told returns the Events about a pod that have this reason.
func told(t *testing.T, reason, pod string) (found []event) {
	t.Helper()
	var list struct{ Items []event }
	if err := json.Unmarshal([]byte(kubectl(t, "get", "events", "-n", "shop", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Reason == reason && e.Involved.Name == pod {
			found = append(found, e)
		}
	}
	return found
}

// podOf returns the name of a deployment's only running pod.
func podOf(t *testing.T, deployment string) string {
	t.Helper()
	var name string
	until(t, "the pod of "+deployment+" runs, alone", time.Minute, func() bool {
		out, err := node.kubectl("", "get", "pods", "-n", "shop", "-l", "app="+deployment, "--no-headers")
		pods := strings.Fields(out)
		if err != nil || strings.Count(out, "\n") != 1 || pods[2] != "Running" {
			return false
		}
		name = pods[0]
		return true
	})
	return name
}

// agentPod returns the name of the agent's pod, and the restarts of its container.
func agentPod(t *testing.T) (name string, restarts int) {
	t.Helper()
	out := strings.Fields(kubectl(t, "get", "pods", "-n", "headroom", "--field-selector=status.phase=Running", "-o",
		`jsonpath={.items[0].metadata.name} {.items[0].status.containerStatuses[0].restartCount}`))
	if len(out) != 2 {
		t.Fatalf("no pod of the agent: %q", out)
	}
	restarts, err := strconv.Atoi(out[1])
	if err != nil {
		t.Fatal(err)
	}
	return out[0], restarts
}

// stall makes the server of a pod stall for d in each period; 0 stops the stalls.
func stall(t *testing.T, pod string, d time.Duration) {
	t.Helper()
	ip := kubectl(t, "get", "pod", pod, "-n", "shop", "-o", "jsonpath={.status.podIP}")
	tell(t, ip, d)
}

// tell is stall with the pod's address.
func tell(t *testing.T, ip string, d time.Duration) {
	t.Helper()
	resp, err := client.Post(fmt.Sprintf("http://%s:8080/stall/%d", ip, d.Milliseconds()), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// series returns how many series Prometheus has for an expression.
func series(expr string) int {
	body, err := get(prometheusAddress, "/api/v1/query?query="+url.QueryEscape(expr))
	if err != nil {
		return 0
	}
	var answer struct {
		Data struct{ Result []json.RawMessage }
	}
	if json.Unmarshal([]byte(body), &answer) != nil {
		return 0
	}
	return len(answer.Data.Result)
}
