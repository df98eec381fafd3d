// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// writeSlow writes values that change slowly. Each reading covers a tenth of the
// processes, and every new process.
func (r *reader) writeSlow(s *observe.Snapshot, p *process) {
	if p.kernel {
		return
	}
	turn := p.looked == 0 || (p.pid+r.round)%slowEvery == 0
	if turn && !p.counts.anonKnown {
		r.writeMemory(s, p)
	}
	if p.share >= busy && (p.cpus == 0 || turn) {
		if b, err := r.files.once(r.files.pid(p.pid, "status")); err == nil {
			if n, ok := parseAffinity(b); ok {
				p.cpus = n
			}
		}
	}
	if p.cpus > 0 {
		s.Set(catalog.ProcessAffinity, p.id, float64(p.cpus))
	}
	if turn {
		p.looked = r.round
	}
}

func (r *reader) writeMemory(s *observe.Snapshot, p *process) {
	b, err := r.files.once(r.files.pid(p.pid, "statm"))
	if err != nil {
		return
	}
	if resident, shared, err := parseStatm(b); err == nil && resident > 0 {
		s.Set(catalog.ProcessMemory, p.id, float64(resident)*pageSize)
		s.Set(catalog.ProcessAnon, p.id, float64(resident-min(shared, resident))*pageSize)
	}
}
