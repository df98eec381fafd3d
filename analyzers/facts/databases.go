// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Database is a PostgreSQL on this host.
type Database struct {
	// Server is the process that listens. Processes are all of it, with those that
	// serve a connection and those that run in the background.
	Server    observe.ID
	Processes []observe.ID
}

// DatabaseOf returns the PostgreSQL at the address of a client; ok is false if it is not
// known to be on this host.
func (p *Pass) DatabaseOf(client observe.ID) (d Database, ok bool) {
	d.Server, ok = p.localServer(p.Attr(client, catalog.AttrDestination), p.Attr(client, catalog.AttrDestPort))
	if !ok || p.Attr(d.Server, catalog.AttrRuntime) != "postgres" {
		return d, false
	}
	for process := range p.Entities(catalog.ProcessCPU) {
		if p.Owner(process) == p.Owner(d.Server) && p.Attr(process, catalog.AttrRuntime) == "postgres" {
			d.Processes = append(d.Processes, process)
		}
	}
	return d, true
}

// A DatabaseTime is how the connections of a database spend the time for which their
// clients wait for an answer.
type DatabaseTime struct {
	// Serving is the mean number of calls that its processes were at, and Answers the
	// number of those that they answered.
	Serving, Answers float64
	// CPU are the cores that it used, and Waited the mean number of its threads that were
	// ready to run and had no CPU.
	CPU, Waited float64
	// Disk is the share of the readings at which a process that serves a connection was
	// waiting for a disk. Others can wait for what it holds.
	Disk float64
}

// TimeOf returns how a database spends its time.
func (p *Pass) TimeOf(d Database) DatabaseTime {
	var t DatabaseTime
	waiting := make(map[float64]bool) // by the time of the reading
	for _, process := range d.Processes {
		use, _ := p.Rate(catalog.ProcessCPU, process)
		wait, _ := p.Rate(catalog.ProcessRunQueue, process)
		t.CPU, t.Waited = t.CPU+use, t.Waited+wait
		serves, answers := p.InFlight(catalog.RequestDuration, catalog.RequestActive, process)
		t.Serving, t.Answers = t.Serving+serves, t.Answers+answers
		if serves == 0 {
			continue
		}
		for _, r := range p.Points(catalog.ProcessDiskWaiting, process) {
			waiting[r.At] = waiting[r.At] || r.Value > 0
		}
	}
	for _, some := range waiting {
		if some {
			t.Disk += 1 / float64(len(waiting))
		}
	}
	return t
}

// InFlight returns the mean number of requests or calls that had no answer, and the number
// of answers. The mean is from the times of those that were answered, by Little's law, or
// from the number of those in flight if that is higher: some have no answer yet. Those of
// before the start are not known, so only the second half of the readings counts.
func (p *Pass) InFlight(duration, active *observe.Metric, id observe.ID) (mean, answers float64) {
	mean = p.lateMean(active, id)
	h, ok := p.Hist(duration, id)
	if !ok || p.Seconds == 0 {
		return mean, 0
	}
	answers, sum := h.Total()
	return max(mean, sum/p.Seconds), answers
}
