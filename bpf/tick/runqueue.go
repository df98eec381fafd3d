// SPDX-License-Identifier: Apache-2.0

package tick

// RunQueue is the tail of the run-queue delays of one process: those of 2^-10 s
// and more. Totals over all delays are in Thread. A delay that a migration
// between CPUs interrupted counts from the migration on.
type RunQueue struct {
	Tgid      uint32
	Start     uint64 // of the process, ns since boot
	Ended     bool   // the process has exited; these are its last values, reported once
	Throttled uint64 // ns of waits caused by a CPU limit; not in Delays
	Delays    Hist   // bucket 0 is empty
}

// CulpritOther represents the culprits of pairs beyond the limit.
const CulpritOther = ^uint32(0)

// ReadRunQueue yields every process that was ever delayed. The RunQueue is
// reused, and Delays is valid during the call only.
func (p *Probe) ReadRunQueue(yield func(*RunQueue)) error {
	var r RunQueue
	return eachBatch(p.objs.Runqueues, p.queueKeys, p.queueValues, func(n int) error {
		for i := range n {
			v := &p.queueValues[i]
			if v.StartBoottime == 0 {
				continue // Being added.
			}
			r = RunQueue{
				Tgid: p.queueKeys[i], Start: v.StartBoottime, Ended: v.Ended != 0, Throttled: v.Throttled,
				Delays: Hist{v.Delays.Count[:], v.Delays.Sum[:]},
			}
			yield(&r)
			if r.Ended {
				_ = p.objs.Runqueues.Delete(p.queueKeys[i])
			}
		}
		return nil
	})
}

// pairAge records the value of a pair and when it last changed, in calls of
// ReadBlame, starting at 1; 0 for a pair to be reset.
type pairAge struct{ ns, changed uint64 }

// keepPairs is how many reads a pair is kept for after it stopped growing. A pair
// that grows again later starts at 0.
const keepPairs = 300

// ReadBlame yields for how many ns a thread of culprit ran while a thread of victim
// waited 2^-10 s or more on the same CPU. Culprits can be kernel threads, the victim
// itself, or CulpritOther. It is sampled every 2^18 ns of each CPU. A pair for which
// yield returns false is reset: the eBPF programs know only pids, and a process must
// not be blamed for a previous one with the same pid.
func (p *Probe) ReadBlame(yield func(victim, culprit uint32, ns uint64) (keep bool)) error {
	p.reads++
	err := eachBatch(p.objs.Blame, p.pairKeys, p.pairValues, func(n int) error {
		for i, k := range p.pairKeys[:n] {
			ns := p.pairValues[i]
			if !yield(k.Victim, k.Culprit, ns) {
				p.pairs[k] = pairAge{} // removed by dropPairs
			} else if old, ok := p.pairs[k]; !ok || old.ns != ns {
				p.pairs[k] = pairAge{ns, p.reads}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.dropPairs()
	return nil
}

func (p *Probe) dropPairs() {
	for k, age := range p.pairs {
		if age.changed == 0 || p.reads-age.changed >= keepPairs {
			delete(p.pairs, k)
			_ = p.objs.Blame.Delete(k)
		}
	}
}
