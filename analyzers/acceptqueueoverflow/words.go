// SPDX-License-Identifier: Apache-2.0

package acceptqueueoverflow

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func (v *view) summary(p *facts.Pass, cause string) string {
	text := fmt.Sprintf("%s dropped by %s", analysis.Number(v.drops, "connection attempt was", "connection attempts were"), p.Name(v.listener))
	queue := "its accept queue was full"
	if v.backlog > 0 {
		queue = fmt.Sprintf("its accept queue of %.0f was full", v.backlog)
		if v.cut() {
			queue = fmt.Sprintf("its accept queue of %.0f (net.core.somaxconn) was full", v.backlog)
		}
	}
	return text + ": " + queue + v.because(p, cause)
}

func (v *view) because(p *facts.Pass, cause string) string {
	switch {
	case cause == backlogTooSmall && v.burst > 0:
		return fmt.Sprintf(", and up to %.0f connections arrived at once", v.burst)
	case cause == backlogTooSmall:
		return fmt.Sprintf(", and up to %.0f connections arrived within a second", v.offered())
	case v.starved:
		return ", and no file descriptor was left to accept with"
	case v.loopIsLate(p):
		return fmt.Sprintf(" while its event loop got to requests %s late (p99)", analysis.Seconds(v.p99()))
	case v.loop == nil && v.hot >= p.Param(hotThread):
		return fmt.Sprintf(" while one of its threads filled %s of a core", analysis.Percent(min(1, v.hot)))
	case v.loop == nil && v.stopped+v.waited >= p.Param(stuckShare):
		return fmt.Sprintf(" while it could not run for %s of the window", analysis.Percent(min(1, v.stopped+v.waited)))
	}
	return fmt.Sprintf(" at %s of the readings: it accepts too slowly", analysis.Percent(v.full))
}

func (v *view) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.ListenerDrops, Label: "dropped", Value: v.drops, Unit: observe.Connections, Bound: analysis.Bound(0)},
		{Metric: catalog.ListenerDrops, Label: "rate", Value: v.drops / p.Seconds, Unit: observe.Connections, Bound: analysis.Bound(p.Param(criticalRate))},
		{Metric: catalog.ListenerQueue, Label: "highest", Value: v.queue, Unit: observe.Connections},
	}
	if v.burst > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.ListenerBurst, Label: "highest", Value: v.burst, Unit: observe.Connections})
	}
	if v.backlog > 0 {
		e = append(e,
			analysis.Evidence{Metric: catalog.ListenerBacklog, Value: v.backlog, Unit: observe.Connections},
			analysis.Evidence{Metric: catalog.ListenerQueue, Label: "share of the readings that were full", Value: v.full, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(stuckShare))})
	}
	if v.loop != nil {
		e = append(e, analysis.Evidence{Metric: catalog.LoopLag, Label: "p99", Value: v.p99(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(lateLag))})
	}
	return e
}

func (v *view) advice(p *facts.Pass, cause string) []analysis.Recommendation {
	raise := v.raiseBacklog(p)
	if cause == backlogTooSmall {
		return []analysis.Recommendation{raise}
	}
	raise.NotIf = "the server stays slower than its clients: a longer queue then only makes them wait longer"
	return []analysis.Recommendation{v.addProcesses(p), raise}
}

// settings maps a runtime to the setting of its backlog.
var settings = map[string]string{
	"node":   "listen({backlog})",
	"bun":    "listen({backlog})",
	"python": "the backlog of listen() or start_server(), --backlog of gunicorn and uvicorn",
	"nginx":  "listen … backlog=",
	"redis":  "tcp-backlog",
	"jvm":    "the backlog of ServerSocket, acceptCount of Tomcat",
	"go":     "net.core.somaxconn, which Go takes, and a restart",
	"":       "the backlog of listen(2)",
}

const (
	// oldCap and newCap are the defaults of net.core.somaxconn before and since Linux
	// 5.4 (commit 19f92a030ca6).
	oldCap, newCap = 128, 4096
)

func (v *view) raiseBacklog(p *facts.Pass) analysis.Recommendation {
	n, low := v.enough()
	runtime := ""
	if v.process != observe.None {
		runtime = p.Attr(v.process, catalog.AttrRuntime)
	}
	where, ok := settings[runtime]
	if !ok {
		where = settings[""]
	}
	r := analysis.Recommendation{
		Verb:     analysis.RaiseBacklog,
		Quantity: &analysis.Estimate{Value: n, Low: analysis.Bound(low), Unit: "connections"},
		Action:   v.raise(p, n, where),
		Verify:   fmt.Sprintf("headroom.listener.dropped of %s stops growing", p.Address(v.listener)),
		Risk:     "a client that waits in a longer queue can time out before the server accepts it",
		NotIf:    "its clients open a connection per request: then let them keep connections alive first",
		Expect:   []analysis.Expectation{{Metric: catalog.ListenerDrops, Label: "dropped", From: v.drops, To: 0, Unit: observe.Count}},
	}
	return r
}

// raise says which of the two numbers to raise: the program's backlog, or the
// kernel's limit of it.
func (v *view) raise(p *facts.Pass, n float64, where string) string {
	if v.cut() {
		return fmt.Sprintf("Raise net.core.somaxconn%s from %.0f to %.0f and restart %s: the kernel cuts the backlog of %s to it. Where the program asks for less than %.0f, raise that too (%s)",
			v.namespace(p), v.somaxconn, n, v.server(p), p.Address(v.listener), n, where)
	}
	action := fmt.Sprintf("Raise the backlog of %s%s to %.0f (%s)", p.Name(v.listener), v.from(), n, where)
	switch {
	case v.somaxconn > 0 && n > v.somaxconn:
		action += fmt.Sprintf(", and net.core.somaxconn%s, which caps it, from %.0f to at least %.0f", v.namespace(p), v.somaxconn, n)
	case v.somaxconn == 0 && (n > newCap || v.backlog == oldCap || v.backlog == newCap):
		action += fmt.Sprintf(", and net.core.somaxconn, which caps it, to at least %.0f", n)
	}
	return action
}

// cut reports whether the kernel's limit determines the length of the queue, so
// that a larger number in the program has no effect.
func (v *view) cut() bool { return v.somaxconn > 0 && v.backlog >= v.somaxconn }

// namespace says where to set a container's value: each network namespace has its
// own.
func (v *view) namespace(p *facts.Pass) string {
	for cgroup := range p.Cgroups(v.listener) {
		if p.Attr(cgroup, catalog.AttrContainerID) != "" {
			return " of its container (docker run --sysctl, or securityContext.sysctls of the pod)"
		}
	}
	return " of its network namespace"
}

func (v *view) server(p *facts.Pass) string {
	if v.process == observe.None {
		return "the server"
	}
	return p.Name(v.process)
}

// from is the current backlog, if it is known.
func (v *view) from() string {
	if v.backlog == 0 {
		return ""
	}
	return fmt.Sprintf(" from %.0f", v.backlog)
}

// addProcesses recommends more processes. The queue hides how many more connections
// would have arrived, so there is no upper bound.
func (v *view) addProcesses(p *facts.Pass) analysis.Recommendation {
	const planned = 0.65 // planned share of event-loop-saturated
	n := 1.0
	if v.loop != nil {
		n = max(n, float64(capacity.Spread(v.loop.Busy, planned)-1))
	}
	name := v.server(p)
	r := analysis.Recommendation{
		Verb:     analysis.AddProcesses,
		Quantity: &analysis.Estimate{Value: n, Low: analysis.Bound(1), Unit: "processes"},
		Action: fmt.Sprintf("Add %s beside %s to accept on %s (a cluster, a pre-forking server, SO_REUSEPORT)",
			analysis.Number(n, "process", "processes"), name, p.Address(v.listener)),
		Verify: fmt.Sprintf("headroom.listener.queue of %s is empty at most readings, and headroom.listener.dropped stops growing", p.Address(v.listener)),
		Risk:   "data in memory exists once per process",
		NotIf:  "no core is idle, or all of them would wait for the same database: then accept in a separate thread",
		Expect: []analysis.Expectation{{Metric: catalog.ListenerDrops, Label: "dropped", From: v.drops, To: 0, Unit: observe.Count}},
	}
	if replicas, ok := p.MoreReplicas(v.listener, n); ok {
		r.Action = fmt.Sprintf("%s, or add %s beside %s", replicas, analysis.Number(n, "process", "processes"), name)
	}
	if idle, ok := p.IdleCores(); ok {
		r.NotIf = fmt.Sprintf("the %s idle on the host are not enough for them, or all of them would wait for the same database", analysis.Cores(math.Floor(idle*10)/10))
	}
	return r
}
