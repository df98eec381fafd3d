// SPDX-License-Identifier: Apache-2.0

package support

import (
	"time"

	"github.com/cilium/ebpf"
)

// Usage is what a program cost since it was loaded. Runs and Time are 0 while
// the kernel does not count them (sysctl kernel.bpf_stats_enabled); it always
// counts Skipped, the times that it did not run because it had been interrupted
// by itself (since Linux 5.12).
type Usage struct {
	Name          string
	Time          time.Duration
	Runs, Skipped uint64
}

// UsageOf asks the kernel about each program that is loaded.
func UsageOf(programs map[string]*ebpf.Program) []Usage {
	var all []Usage
	for name, p := range programs {
		if p == nil {
			continue
		}
		s, err := p.Stats()
		if err != nil {
			continue // the kernel does not tell (Linux 5.10 without CAP_SYS_ADMIN): that is no zero
		}
		all = append(all, Usage{Name: name, Time: s.Runtime, Runs: s.RunCount, Skipped: s.RecursionMisses})
	}
	return all
}
