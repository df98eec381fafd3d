// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/contract"
)

// Scenarios in which the OOM killer kills a process of a container: tail, which is
// killed so soon after its exec that it is in no sample.

const (
	oomKilled = "oom-killed"
	// memoryLimit is three times the memory of an idle node server.
	memoryLimit = 128 * mib
)

// oomContainer reaches the container's own limit three times: all kills are one
// finding.
func oomContainer(t *testing.T, l *lab) {
	f := l.killedForMemory(t, false, 3)
	f.mentions(t, "one of 3 killed there")
}

// oomPod reaches the limit of the pod; the container has none.
func oomPod(t *testing.T, l *lab) { l.killedForMemory(t, true, 1) }

// killedForMemory makes the OOM killer kill a number of processes, one after the other.
func (l *lab) killedForMemory(t *testing.T, ofPod bool, kills int) *finding {
	t.Helper()
	c := l.runNode(t, 1)
	limited := c.group
	if ofPod {
		limited = c.podGroup
	}
	outside.Must(t, limited.Update(cgroups.MemoryLimit(memoryLimit)))
	eater := c.group.Command("sh", "-c", "sleep 3; "+strings.Repeat("tail /dev/zero; ", kills-1)+"exec tail /dev/zero")
	outside.Must(t, eater.Start())
	r := l.observe(t)
	err := eater.Wait()
	if s, ok := eater.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		t.Fatalf("the scenario does not hold: tail ended with %v, want a kill", err)
	}
	f := r.find(t, oomKilled, "container-limit", inContainer(c.id))
	whose := "its own cgroup"
	if ofPod {
		whose = "pod " + c.pod
	}
	victim := "tail (pid "
	if kills == 1 {
		victim += fmt.Sprintf("%d)", eater.Process.Pid)
	}
	for _, want := range []string{victim, "128 MiB", whose} {
		if !strings.Contains(f.Summary, want) {
			t.Errorf("summary = %q, want %q in it", f.Summary, want)
		}
	}
	// If three readings show growth, the fix for a leak is listed first.
	f.Recommendations = slices.DeleteFunc(f.Recommendations, func(rec contract.Recommendation) bool { return rec.Verb == "fix-leak" })
	f.recommends(t, "raise-memory-limit").quantity(t, 1.2*memoryLimit, memoryLimit+128*mib)
	return f
}
