// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os/exec"
	"runtime"
	"strconv"
	"testing"
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
