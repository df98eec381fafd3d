// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// ServingProcesses returns the processes whose event loop serves clients.
func (p *Pass) ServingProcesses() map[observe.ID]bool {
	serves := make(map[observe.ID]bool)
	for _, l := range p.Loops() {
		serves[l.Process] = serves[l.Process] || l.Serves
	}
	return serves
}

const (
	// always is the share of the window from which a thread that ran or waited
	// for a CPU never slept.
	always = 0.9
	// hogShare is the share of a process's demand that such threads must have.
	hogShare = 0.5
)

// AlwaysRunnable returns a function that reports whether most of a process's demand is
// in threads that never sleep. This is batch work, even if a loop of the process serves
// its metrics. A loop that serves is not such a thread, because its requests are late if
// it is full. A loop that polls without waiting is one.
func (p *Pass) AlwaysRunnable() func(process observe.ID) bool {
	serves, loops := p.ServingProcesses(), p.servingThreads()
	hog := make(map[observe.ID]float64)
	for thread := range p.Entities(catalog.ThreadCPU) {
		demand := p.ThreadDemand(thread)
		if demand < always || loops[p.Index.Entity(thread).ID] {
			continue
		}
		if process, ok := p.Index.Ancestor(thread, observe.Process); ok {
			hog[process] += demand
		}
	}
	return func(process observe.ID) bool {
		run, _ := p.Rate(catalog.ProcessCPU, process)
		wait, _ := p.Rate(catalog.ProcessRunQueue, process)
		threads, _ := p.Last(catalog.ProcessThreads, process)
		return hog[process] > hogShare*(run+wait) || !serves[process] && threads > 0 && (run+wait)/threads >= always
	}
}

// servingThreads returns the threads of loops that serve: a loop has its thread's ID.
func (p *Pass) servingThreads() map[string]bool {
	threads := make(map[string]bool)
	for _, l := range p.Loops() {
		if l.Serves && !l.Spins {
			threads[p.Index.Entity(l.ID).ID] = true
		}
	}
	return threads
}

// ThreadDemand returns the share of the window in which a thread ran or was ready to run.
func (p *Pass) ThreadDemand(thread observe.ID) float64 {
	run, _ := p.Rate(catalog.ThreadCPU, thread)
	wait, _ := p.Rate(catalog.ThreadRunQueue, thread)
	return run + wait
}

// IsService reports whether a culprit is itself a service with clients, and not work
// that uses all available CPU time. To limit one of two services for the other helps
// neither.
func (p *Pass) IsService(c Culprit) bool {
	serves, hogs := p.ServingProcesses(), p.AlwaysRunnable()
	serving := 0.0
	for _, member := range c.Processes {
		if !hogs(member.ID) && (serves[member.ID] || p.AudienceOf(member.ID) == Clients) {
			serving += member.Value
		}
	}
	const mostly = 0.5
	return serving > mostly*c.Seconds
}

// Stranger returns the largest culprit of another owner; ok is false if there is none.
// An observer does not count.
func Stranger(culprits []Culprit) (c Culprit, ok bool) {
	for _, c := range culprits {
		if !c.Own && !c.Observer {
			return c, true
		}
	}
	return Culprit{}, false
}
