// SPDX-License-Identifier: Apache-2.0

package support

import (
	"time"

	"github.com/cilium/ebpf"
)

// Usage is the cost of a program since it was loaded. Runs and Time advance only
// while sysctl kernel.bpf_stats_enabled is 1. Skipped always advances: it counts
// runs that the kernel skipped because the program interrupted itself (since Linux
// 5.12).
type Usage struct {
	Name          string
	Time          time.Duration
	Runs, Skipped uint64
}

// UsageOf reads the usage of each loaded program from the kernel.
func UsageOf(programs map[string]*ebpf.Program) []Usage {
	var all []Usage
	for name, p := range programs {
		if p == nil {
			continue
		}
		s, err := p.Stats()
		if err != nil {
			continue // unknown, not 0: the kernel refuses (Linux 5.10 without CAP_SYS_ADMIN)
		}
		all = append(all, Usage{Name: name, Time: s.Runtime, Runs: s.RunCount, Skipped: s.RecursionMisses})
	}
	return all
}
