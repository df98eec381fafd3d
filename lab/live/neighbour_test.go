// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

// core is the CPU that the server and its neighbours are pinned to: the last one on
// a machine with two.
const core = "1"

// neighbours pins four busy processes to the server's core. They share no container
// and no service with the server.
func neighbours(t *testing.T, l *lab) {
	taskset := need(t, "taskset")
	app := l.node(t, nil, taskset, "-c", core)
	fault := httpLoad(t, app.url("/burn?ms=20"), 5)
	fault.waitAnswers(t, 5)
	var burners []int
	for range 4 {
		p := start(t, exec.Command(taskset, "-c", core, "sh", "-c", "while :; do :; done"))
		burners = append(burners, p.pid)
	}
	time.Sleep(time.Second) // until the load is steady while the busy processes run
	r := l.observe(t)
	fault.mustBeSlow(t, r, 50*time.Millisecond)

	f := r.find(t, "run-queue-latency", "noisy-neighbour", pid(app.pid))
	f.recommends(t, "cap-neighbour")
	blamed := 0.0
	for _, b := range f.Blame {
		if slices.Contains(burners, b.Subject.PID) {
			blamed += b.Share
		} else if b.Share > 0.2 {
			t.Errorf("blames %s for %.0f%%", b.Subject, 100*b.Share)
		}
	}
	if blamed < 0.7 {
		t.Errorf("the burners %v have %.2f of the blame, want at least 0.7: %+v", burners, blamed, f.Blame)
	}
	r.find(t, blockedLoop, "run-queue", pid(app.pid)).explainedBy(t, "run-queue-latency")
	// The busy processes wait for each other, which may be reported as well.
	r.nothingElse(t, about("run-queue-latency", pid(append(burners, app.pid)...)), about(blockedLoop, pid(app.pid)))
}
