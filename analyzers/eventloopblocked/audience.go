// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// eventLoops are the runtimes whose loop serves many clients, so that a long tick
// delays others.
var eventLoops = []string{"node", "bun", "deno", "python", "redis", "nginx", "jvm", "beam", "dotnet"}

// synchronous programs serve one request per process and wait in between: a long
// tick is a long request and delays no other. uwsgi is found by
// its executable: its runtime is Python.
var synchronous = []string{"postgres", "php", "ruby"}

var synchronousExecutables = []string{"uwsgi", "uwsgi-core", "apache2", "httpd"}

// oneLoopPerProcess reports whether a runtime needs more processes to use more
// cores.
func oneLoopPerProcess(runtime string) bool { return isV8(runtime) || runtime == "bun" }

func isV8(runtime string) bool { return runtime == "node" || runtime == "deno" }

func (v view) isSynchronous(p *facts.Pass) bool {
	if slices.Contains(synchronous, v.Runtime) {
		return true
	}
	if slices.Contains(synchronousExecutables, p.Attr(v.Process, catalog.AttrExecutable)) {
		return true
	}
	// asyncio waits in epoll by default; gunicorn's synchronous workers in select and
	// poll.
	return v.Runtime == "python" && v.Kind != "" && v.Kind != "epoll" && !v.multiplexes(p)
}

// multiplexes reports whether a tick of the process delays other clients: it has served
// several connections at a time, or one, and no other process serves beside it. A
// synchronous worker closes a connection before it accepts the next, and has a primary
// process with the same listener. A server that waits in accept is synchronous, too: it
// was not seen to end a tick, and only a search for hangs takes it for a loop.
func (v view) multiplexes(p *facts.Pass) bool {
	last, _ := p.Last(catalog.ProcessAccepted, v.Process)
	_, most, _ := p.Range(catalog.ProcessAccepted, v.Process)
	connections := max(last, most)
	return v.Listens && (connections > 1 || connections == 1 && v.Ticks > 0 && p.ListensAlone(v.Process))
}

// audience lowers a severity depending on what waits for the loop.
func (v view) audience(p *facts.Pass, s analysis.Severity) analysis.Severity {
	if s == analysis.Healthy || v.Audience == facts.NoAudience ||
		v.isSynchronous(p) || v.stopped(p) || v.trivial() || v.fleeting(p) {
		return analysis.Healthy
	}
	known := slices.Contains(eventLoops, v.Runtime)
	switch {
	case v.Audience != facts.Clients && (!known || v.Kind == "poll" || v.Kind == "select"):
		return analysis.Info
	case v.mayBeCollector(p):
		return analysis.Info
	case v.Audience != facts.Clients:
		return max(analysis.Info, s-1)
	}
	return s
}

const (
	// longHang is the length of a tick, in seconds, that is reported for any program.
	longHang = 2.0
	// fleetingLife is the lifetime of a loop, in seconds, below which its ticks are
	// the start and the end of a program.
	fleetingLife = 1.0
	// idleRate and idleShare are the activity of a daemon without requests.
	idleRate, idleShare = 1.0, 0.05
)

// trivial reports whether the loop belongs to an unused daemon.
func (v view) trivial() bool {
	if slices.Contains(eventLoops, v.Runtime) || v.lags.Longest() >= longHang {
		return false
	}
	return v.Ticks/v.Seconds < idleRate || !v.Serves && v.Busy < idleShare
}

// fleeting reports whether the loop belongs to a short-lived program, such as the
// init of a container that executes another program. No request waits for a program
// without a listening socket.
func (v view) fleeting(p *facts.Pass) bool {
	if v.Listens || slices.Contains(eventLoops, v.Runtime) {
		return false
	}
	return p.IncreaseOr0(catalog.LoopBusy, v.ID)+p.IncreaseOr0(catalog.LoopWait, v.ID)+v.Current < fleetingLife
}

// stopped reports whether a signal, a debugger or the freezer (docker pause)
// stopped the process.
func (v view) stopped(p *facts.Pass) bool {
	calls := p.BlockedBy(v.LoopView)
	return len(calls) > 0 && calls[0].Syscall == stoppedCall && calls[0].Seconds >= v.Long.Total()/2
}

// stoppedCall is the probe's name for a stop by a signal, a debugger or the freezer.
const stoppedCall = "stopped by a signal, a debugger or the freezer"

// collectorCPU is the least CPU time of a collection, as a share of its duration: the
// threads that collect keep at least one CPU busy, unless they wait for one.
const collectorCPU = 0.5

// mayBeCollector reports whether a JVM's thread waits for a futex while other threads
// of the process run: a pause of the garbage collector looks like a lock, and is not
// observed yet.
func (v view) mayBeCollector(p *facts.Pass) bool {
	if v.Runtime != "jvm" {
		return false
	}
	c := v.attribute(p)
	if c.parts[0].cause != blockingCall || len(c.calls) == 0 || c.calls[0].Syscall != "futex" {
		return false
	}
	used, known := p.Increase(catalog.ProcessCPU, v.Process)
	return !known || used-v.Long.CPU >= collectorCPU*min(v.Long.Blocked, v.Seconds)
}
