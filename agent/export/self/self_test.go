// SPDX-License-Identifier: Apache-2.0

package self

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestUncountedIsNotZero checks that there is no series with value 0 while the kernel
// does not measure the cost of eBPF programs.
func TestUncountedIsNotZero(t *testing.T) {
	state := State{Probes: []Probe{{Name: "tick", Programs: []Program{
		{Name: "on_switch", Time: time.Second, Runs: 4, Skipped: 1}, {Name: "on_exit"},
	}}}}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewCollector(func() State { return state }))
	const want = `
# HELP headroom_bpf_program_run_seconds_total CPU time used by the eBPF program since it was loaded, in seconds. Absent unless the kernel counts it (sysctl kernel.bpf_stats_enabled=1).
# TYPE headroom_bpf_program_run_seconds_total counter
headroom_bpf_program_run_seconds_total{probe="tick",program="on_switch"} 1
# HELP headroom_bpf_program_skipped_total Number of times that the kernel skipped the eBPF program because it was already running on that CPU.
# TYPE headroom_bpf_program_skipped_total counter
headroom_bpf_program_skipped_total{probe="tick",program="on_exit"} 0
headroom_bpf_program_skipped_total{probe="tick",program="on_switch"} 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), ProgramTime, ProgramSkipped); err != nil {
		t.Error(err)
	}
}
