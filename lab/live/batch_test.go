// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// batch keeps every core 95 % busy while no request is waiting: a busy host is not a
// fault.
func batch(t *testing.T, l *lab) {
	const load = 95
	start(t, exec.Command(need(t, "stress-ng"), "--cpu", strconv.Itoa(runtime.NumCPU()), "--cpu-load", strconv.Itoa(load), "--cpu-method", "matrixprod"))
	before := hostBusy(t)
	r := l.observe(t)
	used := (hostBusy(t) - before) / r.ended.Sub(r.began).Seconds() / float64(runtime.NumCPU())
	t.Logf("%.0f%% of the host's CPUs were busy", 100*used)
	if used < 0.9 {
		t.Fatalf("the scenario does not hold: %.0f%% of the CPUs were busy, want %d%%", 100*used, load)
	}
	r.nothingElse(t)
}

// batchLimited fills the CPUs beside a service that needs a third of one. The advice is to
// limit the batch job, not to add nodes. With that limit the host is no longer full.
func batchLimited(t *testing.T, l *lab) {
	cpus := float64(runtime.NumCPU())
	g := newGroup(t, "headroom-lab-batch", cgroups.CPULimit(cpus), cgroups.CPU, cgroups.CPUAcct)
	app := l.node(t, nil)
	load := httpLoad(t, app.url("/burn?ms=5"), 60)
	load.waitAnswers(t, 20)
	start(t, g.Command(need(t, "stress-ng"), "--cpu", strconv.Itoa(2*runtime.NumCPU()), "--cpu-method", "matrixprod"))
	time.Sleep(time.Second) // until it runs
	r := l.observe(t)
	f := r.find(t, "host-saturated", "cpu", func(subject) bool { return true })
	cores := f.recommends(t, "cap-neighbour").quantity(t, 0.3*cpus, 0.6*cpus)

	outside.Must(t, g.Update(cgroups.CPULimit(cores)))
	after := l.observeAs(t, "limited")
	t.Logf("with %.2f cores: %s", cores, after)
	after.nothingElse(t)
}
