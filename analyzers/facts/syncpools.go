// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"math"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A SyncPool is the worker processes that take connections from one listener and serve a
// fixed number of them at a time: gunicorn's synchronous workers, php-fpm, puma, uWSGI,
// Apache. While all are busy, connections wait in the accept queue.
type SyncPool struct {
	Listener observe.ID
	// Server is the program, one of the constants below; "" for another one.
	Server string
	// Workers are the processes that serve, Served these and those that ended.
	Workers, Served []observe.ID
	// Each is the number of connections that a worker serves at a time.
	Each float64
	// Full is set if no worker was without a connection at all readings, and connections
	// waited in the accept queue at most of them.
	Full bool
}

// mostReadings is the share of the readings in which a full pool has connections that wait.
const mostReadings = 0.8

// Servers whose setting of the number of workers is known.
const (
	Gunicorn = "gunicorn"
	Puma     = "puma"
	PHPFPM   = "php-fpm"
	UWSGI    = "uwsgi"
	Apache   = "apache"
)

// multiplexing are the runtimes of which one thread serves many connections: that
// connections wait for their event loop is a finding about that.
var multiplexing = []string{"node", "bun", "deno", "nginx", "redis", "jvm", "go", "beam", "dotnet", "postgres"}

// SyncPools returns the pools whose workers serve connections from one listener. A
// process with several listeners is left out: which of them its requests came from is not
// known.
func (p *Pass) SyncPools() []*SyncPool {
	type key struct{ owner, executable string }
	keyOf := func(process observe.ID) key {
		return key{p.Owner(process), p.Attr(process, catalog.AttrExecutable)}
	}
	holders := make(map[key][]observe.ID)
	for process := range p.Entities(catalog.ProcessListens) {
		if n, _ := p.Last(catalog.ProcessListens, process); n == 1 {
			holders[keyOf(process)] = append(holders[keyOf(process)], process)
		}
	}
	listeners := make(map[key][]observe.ID)
	for listener := range p.Entities(catalog.ListenerQueue) {
		if process, ok := p.Index.Ancestor(listener, observe.Process); ok {
			listeners[keyOf(process)] = append(listeners[keyOf(process)], listener)
		}
	}
	var all []*SyncPool
	for k, of := range listeners {
		if len(of) != 1 {
			continue
		}
		if s := p.syncPool(of[0], holders[k]); s != nil {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *SyncPool) int { return int(a.Listener) - int(b.Listener) })
	return all
}

// SyncPoolOf returns the pool that takes connections from a listener, nil if there is none.
func (p *Pass) SyncPoolOf(listener observe.ID) *SyncPool {
	for _, s := range p.SyncPools() {
		if s.Listener == listener {
			return s
		}
	}
	return nil
}

// syncPool returns the pool of a listener, from the processes that hold it; nil if they
// are no synchronous workers.
func (p *Pass) syncPool(listener observe.ID, holders []observe.ID) *SyncPool {
	if len(holders) == 0 || slices.Contains(multiplexing, p.Attr(holders[0], catalog.AttrRuntime)) {
		return nil
	}
	primary, _ := p.Index.Ancestor(listener, observe.Process)
	s := &SyncPool{Listener: listener, Each: math.Inf(1), Full: p.queued(listener)}
	most := 0.0
	for _, process := range holders {
		_, served, _ := p.Range(catalog.ProcessAccepted, process)
		if process == primary && served == 0 && len(holders) > 1 {
			continue // it starts the others
		}
		s.Served = append(s.Served, process)
		if p.hasEnded(process) {
			continue
		}
		s.Workers = append(s.Workers, process)
		s.Each, most = min(s.Each, max(1, served)), max(most, served)
		s.Full = s.Full && served > 0
	}
	if len(s.Workers) == 0 {
		return nil
	}
	s.Server = p.syncServer(s.Workers[0])
	switch {
	case s.Server == Puma || s.Server == UWSGI || s.Server == Apache:
		return s // with threads, if most is above 1
	case most > 1 || p.waitsInEpoll(s.Workers) || s.Server == "" && len(s.Workers) < 2:
		return nil
	}
	return s
}

// queued reports whether connections waited in an accept queue at most of the readings.
func (p *Pass) queued(listener observe.ID) bool {
	readings := p.Series(catalog.ListenerQueue, listener)
	some := 0.0
	for _, n := range readings {
		if n > 0 {
			some++
		}
	}
	return len(readings) > 0 && some >= mostReadings*float64(len(readings))
}

// ServesFull reports whether a process is a worker of a full pool: what it needs is a
// finding about the pool.
func (p *Pass) ServesFull(process observe.ID) bool {
	return slices.ContainsFunc(p.SyncPools(), func(s *SyncPool) bool { return s.Full && slices.Contains(s.Workers, process) })
}

func (p *Pass) hasEnded(id observe.ID) bool {
	return slices.ContainsFunc(p.Ended, func(e observe.Ended) bool { return e.ID == id })
}

// syncServer returns the server that a process runs, "" if it is not known. The workers of
// a server can write a title over its command.
func (p *Pass) syncServer(process observe.ID) string {
	command := p.Attr(process, catalog.AttrCommand)
	executable := p.Attr(process, catalog.AttrExecutable)
	switch {
	case strings.HasPrefix(executable, "php-fpm"):
		return PHPFPM
	case strings.HasPrefix(executable, "uwsgi"):
		return UWSGI
	case executable == "apache2" || executable == "httpd":
		return Apache
	case strings.Contains(command, "gunicorn"):
		return Gunicorn
	case strings.Contains(command, "puma"):
		return Puma
	}
	return ""
}

// waitsInEpoll reports whether a Python process has an event loop as asyncio and gevent
// have them. The synchronous workers of gunicorn wait in select.
func (p *Pass) waitsInEpoll(processes []observe.ID) bool {
	return slices.ContainsFunc(p.Loops(), func(l *LoopView) bool {
		return l.Runtime == "python" && l.Kind == "epoll" && slices.Contains(processes, l.Process)
	})
}
