// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// limited starts a program that cannot load eBPF programs and sees no cgroup, as on a
// node whose kernel supports neither.
const limited = `mount -t tmpfs none /sys/fs/cgroup && exec setpriv --bounding-set -all --inh-caps -all "$@"`

// TestReadyOnALimitedNode checks that an agent becomes ready on a node that offers less
// than two thirds of the sources, and reports that it is half blind.
func TestReadyOnALimitedNode(t *testing.T) {
	if testing.Short() {
		t.Skip("observes for seconds")
	}
	if out, err := exec.Command("unshare", "--mount", "sh", "-c", limited, "sh", "true").CombinedOutput(); err != nil {
		t.Skipf("needs root for a mount namespace: %v: %s", err, out)
	}
	a := configuredAgent(t, "")
	a.under = []string{"unshare", "--mount", "sh", "-c", limited, "sh"}
	a.start()
	var body string
	a.await("it is ready", func() bool {
		var status int
		status, body = a.get("http", "/readyz", "")
		return status == http.StatusOK
	})
	if !strings.HasPrefix(body, "ready, half blind: ") || !strings.Contains(body, "cannot run on this node") {
		t.Errorf("/readyz says %q, want that the agent is half blind", body)
	}
	if _, findings := a.get("http", "/api/v1/findings", ""); !strings.Contains(findings, `"half_blind": true`) {
		t.Errorf("the report does not say that it is half blind: %s", findings)
	}
}
