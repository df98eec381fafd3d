// SPDX-License-Identifier: Apache-2.0

package disksaturated

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A party is a container, a service, or the processes of one command that use
// disks.
type party struct {
	subject observe.ID
	name    string
	members int
	// waiting is the average number of its threads that wait for a disk, late the
	// share of the window in which one of its tasks waits.
	waiting, late  float64
	bytes, written float64 // per second
	// serves is set if clients may wait for it: it listens, or is a service. loop is
	// set if it has an event loop that is late.
	serves, listens, loop bool
	// share is its share of the queue, or of the bytes.
	share float64
}

// partiesOf returns the users of disks, the largest share first.
func partiesOf(p *facts.Pass, s state) []party {
	g := gathering{Pass: p, byKey: make(map[string]*party), listening: listening(p)}
	g.fromProcesses()
	g.fromLoops()
	g.fromCgroups()
	parties := make([]party, 0, len(g.byKey))
	for _, q := range g.byKey {
		parties = append(parties, *q)
	}
	shares(parties, s)
	slices.SortFunc(parties, func(a, b party) int {
		return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(b.late, a.late), cmp.Compare(a.subject, b.subject))
	})
	return parties
}

type gathering struct {
	*facts.Pass
	byKey     map[string]*party
	listening map[string]bool // by owner
}

func listening(p *facts.Pass) map[string]bool {
	owners := make(map[string]bool)
	for process := range p.Entities(catalog.ProcessListens) {
		if n, _ := p.Last(catalog.ProcessListens, process); n > 0 {
			owners[p.Owner(process)] = true
		}
	}
	return owners
}

// of returns the party of a process.
func (g gathering) of(process observe.ID) *party {
	key, subject := "command "+g.Command(process), process
	managed := g.Managed(process)
	if managed {
		key = "owner " + g.Owner(process)
		if cgroup, ok := g.Index.Ancestor(process, observe.Cgroup); ok {
			subject = cgroup
		}
	}
	q := g.byKey[key]
	if q == nil {
		q = &party{subject: subject, name: g.Name(subject)}
		g.byKey[key] = q
	}
	q.listens = q.listens || g.listening[g.Owner(process)]
	q.serves = q.listens || managed
	return q
}

func (g gathering) fromProcesses() {
	for process := range g.Entities(catalog.ProcessDiskWaiting) {
		waiting, some := g.waits(process)
		read, _ := g.Rate(catalog.ProcessDiskRead, process)
		written, _ := g.Rate(catalog.ProcessDiskWritten, process)
		if waiting == 0 && read+written == 0 || g.IsObserver(process) {
			continue
		}
		q := g.of(process)
		q.members++
		if q.members > 1 && g.Index.Entity(q.subject).Kind == observe.Process {
			q.name = fmt.Sprintf("%d × %s", q.members, g.Command(process))
		}
		q.waiting += waiting
		q.late = max(q.late, some)
		q.bytes += read + written
		q.written += written
	}
}

// waits returns the average number of threads of a process that waited, and the
// share of readings in which one did.
func (g gathering) waits(process observe.ID) (threads, some float64) {
	readings := g.Points(catalog.ProcessDiskWaiting, process)
	seen := 0.0
	for _, r := range readings {
		threads += r.Value
		seen += min(1, r.Value)
	}
	if seen < twice {
		return 0, 0
	}
	n := float64(len(readings))
	return threads / n, seen / n
}

// twice is the number of times that a program must be seen waiting: once can be a
// coincidence.
const twice = 2

// fromLoops adds the time that ticks of event loops waited for a disk, which the
// kernel measures also where the readings above missed it.
func (g gathering) fromLoops() {
	for _, l := range g.Loops() {
		late := min(1, g.DiskWait(l)/l.Seconds)
		if l.Serves && late >= lateLoop {
			q := g.of(l.Process)
			q.late, q.listens, q.serves, q.loop = max(q.late, late), true, true, true
		}
	}
}

// lateLoop is the share of the window from which waiting for a disk makes an event
// loop late, as in host-saturated.
const lateLoop = 0.02

// fromCgroups adds the pressure of containers and services.
func (g gathering) fromCgroups() {
	for _, q := range g.byKey {
		if g.Index.Entity(q.subject).Kind == observe.Cgroup {
			some, _ := g.Rate(catalog.CgroupIOSome, q.subject)
			q.late = max(q.late, min(1, some))
		}
	}
	if g.Has(catalog.ProcessDiskWaiting) {
		return
	}
	for cgroup := range g.Entities(catalog.CgroupIOSome) {
		some, _ := g.Rate(catalog.CgroupIOSome, cgroup)
		if some > 0 && g.named(cgroup) {
			g.byKey["cgroup "+g.Name(cgroup)] = &party{subject: cgroup, name: g.Name(cgroup), late: min(1, some), serves: true, listens: true}
		}
	}
}

// named reports whether a cgroup is that of a container or a service.
func (g gathering) named(cgroup observe.ID) bool {
	return g.Attr(cgroup, catalog.AttrContainerID) != "" || g.Attr(cgroup, catalog.AttrService) != ""
}

// shares computes the parties' shares of the disk: by waiting threads if they are
// most of its queue, otherwise by bytes if this disk has most of them.
func shares(parties []party, s state) {
	waiting, bytes := 0.0, 0.0
	for _, q := range parties {
		waiting += q.waiting
		bytes += q.bytes
	}
	byWaiting := waiting >= s.queue/2
	byBytes := bytes > 0 && s.bytes >= bytes/2
	if s.cause() == throughput && byBytes {
		byWaiting = false
	}
	for i := range parties {
		switch {
		case byWaiting:
			parties[i].share = parties[i].waiting / max(waiting, s.queue)
		case byBytes:
			parties[i].share = parties[i].bytes / max(bytes, s.bytes)
		}
	}
}

// filler returns the party that fills the disk: the one that has half of it.
func (s *state) filler() (party, bool) {
	const half = 0.5
	if len(s.parties) > 0 && s.parties[0].share >= half {
		return s.parties[0], true
	}
	return party{}, false
}

// served returns the waiting parties for which clients wait. The party that fills
// the disk counts only if it listens: for a batch job waiting is normal.
func (s *state) served(p *facts.Pass) []party {
	filler, known := s.filler()
	var late []party
	for _, q := range s.parties {
		if known && q.subject == filler.subject && !q.listens {
			continue
		}
		if q.serves && (q.loop || q.late >= p.Param(waitingShare)) {
			late = append(late, q)
		}
	}
	slices.SortStableFunc(late, func(a, b party) int { return cmp.Compare(b.late, a.late) })
	return late
}
