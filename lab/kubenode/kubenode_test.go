// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"strings"
	"testing"
	"time"
)

// kubectl is the administrator's, and the end of the test if it fails.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return apply(t, "", args...)
}

func apply(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, err := node.kubectl(input, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNode is one story: each part needs what those before it left.
func TestNode(t *testing.T) {
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"the node is Ready", nodeReady},
		{"the chart is installed", install},
	} {
		if !t.Run(part.name, part.run) {
			t.Fatal(node.lastWords())
		}
	}
}

func nodeReady(t *testing.T) {
	until(t, "the node is Ready", time.Minute, func() bool {
		out, err := node.kubectl("", "get", "nodes", "--no-headers")
		return err == nil && strings.Contains(out, nodeName) && strings.Contains(out, " Ready ")
	})
	t.Log(kubectl(t, "get", "nodes", "-o", "wide"))
	t.Log(kubectl(t, "get", "serviceaccounts", "-A", "--no-headers", "-o", "name"))
}

func install(t *testing.T) {
	began := time.Now()
	out, err := node.helm("install", "headroom", "../../deploy/helm/headroom", "--namespace", "headroom", "--create-namespace",
		"--set", "image.repository=docker.io/library/headroom,image.tag=e2e,image.pullPolicy=Never", "--wait", "--timeout", "90s")
	if err != nil {
		pods, _ := node.kubectl("", "describe", "pods", "-n", "headroom")
		logs, _ := run("sh", "-c", "cat /var/log/pods/headroom_*/*/*.log | tail -n 30")
		t.Fatal(err, pods, logs)
	}
	t.Logf("helm install --wait: after %v\n%s", time.Since(began).Round(time.Second), out)
	t.Log(kubectl(t, "get", "pods", "-A", "-o", "wide"))
	logs, _ := run("sh", "-c", "cat /var/log/pods/headroom_*/*/*.log | tail -n 30")
	t.Log(logs)
}
