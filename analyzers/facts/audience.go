// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// An Audience is what waits for an event loop while it is in a tick.
type Audience int

const (
	// NoAudience is for loops of builds, batch jobs, command line tools and load
	// generators: their process has no socket on which another process waits.
	NoAudience Audience = iota
	// UnknownAudience is for loops of a process whose descriptors were not read.
	UnknownAudience
	// Broker is for loops whose process is connected to a message broker: messages
	// wait for it in the broker.
	Broker
	// Clients is for loops of servers.
	Clients
)

// servers are runtimes that only serve clients.
var servers = []string{"redis", "nginx"}

// audience decides what waits for the loops of a process; no other code does
// (docs/decisions/2026-11-29-what-waits-for-a-loop.md).
func (p *Pass) audience(process observe.ID, listening listeners) Audience {
	listens, known := p.Last(catalog.ProcessListens, process)
	switch {
	case listens > 0 || p.everPositive(catalog.ProcessAccepted, process) || p.everPositive(catalog.ProcessDatagrams, process):
		return Clients
	case listening.servesWith(p, process):
		return Clients
	case p.everPositive(catalog.ProcessBrokers, process):
		return Broker
	case known:
		return NoAudience
	case slices.Contains(servers, p.Attr(process, catalog.AttrRuntime)):
		return Clients
	}
	return UnknownAudience
}

// AudienceOf is what waits for a process, as for its loops.
func (p *Pass) AudienceOf(process observe.ID) Audience {
	if p.memo.listening == nil {
		p.memo.listening = p.listeners()
	}
	return p.audience(process, p.memo.listening)
}

// everPositive reports whether a gauge was above 0 in any reading of the window.
func (p *Pass) everPositive(m *observe.Metric, id observe.ID) bool {
	last, _ := p.Last(m, id)
	_, high, _ := p.Range(m, id)
	return max(last, high) > 0
}

// listeners holds the commands of listening processes, by service.
type listeners map[service][]string

// A service is the processes whose loops can serve together.
type service struct{ owner, runtime string }

func (p *Pass) serviceOf(process observe.ID) service {
	return service{p.Owner(process), p.Attr(process, catalog.AttrRuntime)}
}

func (p *Pass) listeners() listeners {
	l := make(listeners)
	for process := range p.Entities(catalog.ProcessListens) {
		if n, _ := p.Last(catalog.ProcessListens, process); n > 0 {
			s := p.serviceOf(process)
			l[s] = append(l[s], p.Command(process))
		}
	}
	return l
}

// ListensAlone reports whether a process listens, and no other of the same owner and
// runtime does.
func (p *Pass) ListensAlone(process observe.ID) bool {
	if p.memo.listening == nil {
		p.memo.listening = p.listeners()
	}
	n, _ := p.Last(catalog.ProcessListens, process)
	return n > 0 && len(p.memo.listening[p.serviceOf(process)]) == 1
}

// servesWith reports whether a process serves for a listener of another process, as
// the workers of node's cluster do. A process that runs another program in the same
// container, such as a build, is not a worker, unless its connections show that it
// is. If they were not observed, the owner and the runtime decide.
func (l listeners) servesWith(p *Pass, process observe.ID) bool {
	commands := l[p.serviceOf(process)]
	if _, observed := p.Last(catalog.ProcessAccepted, process); !observed {
		return len(commands) > 0
	}
	return slices.Contains(commands, p.Command(process))
}

// Unvisited reports whether a server had no client in the whole window: no
// connection, none that waited to be accepted, and no socket that needs none. It
// returns false if connections were not observed.
func (p *Pass) Unvisited(process observe.ID) bool {
	_, observed := p.Last(catalog.ProcessAccepted, process)
	return observed && !p.everPositive(catalog.ProcessAccepted, process) &&
		!p.everPositive(catalog.ProcessBacklog, process) && !p.everPositive(catalog.ProcessDatagrams, process)
}
