// SPDX-License-Identifier: Apache-2.0

package fdexhaustion

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A view holds a process's descriptors, their kinds and their growth.
type view struct {
	facts.Descriptors
	cause string
	// growth is the growth of their number; leaking is set if it grew steadily and
	// connections do not explain it.
	growth  capacity.Growth
	leaking bool
	// climb is growth over hours in the history; nil for growth in the window.
	climb *capacity.Climb
	// kinds are their kinds, the one that grew most first; empty if the process was
	// not read in that detail.
	kinds []kind
	// connections are the established ones, closeWait those that the other
	// side has closed.
	connections, closeWait counted
}

// A kind is the descriptors of one kind.
type kind struct {
	counted
	name   string
	metric *observe.Metric
}

// counted is a number that may be unknown, and its increase.
type counted struct {
	known      bool
	last, gain float64
}

// sockets is the kind that includes connections.
const sockets = "sockets"

func look(p *facts.Pass, d facts.Descriptors) *view {
	v := &view{Descriptors: d}
	if fds := p.Points(catalog.ProcessFDs, d.Process); gained(fds) >= p.Param(leastGain) {
		v.growth, _ = growthOf(fds) // quadratic in the number of readings
	}
	v.connections = count(p, catalog.ProcessEstablished, d.Process)
	v.closeWait = count(p, catalog.ProcessCloseWait, d.Process)
	for _, k := range []kind{
		{name: "files", metric: catalog.ProcessFDFiles},
		{name: "pipes", metric: catalog.ProcessFDPipes},
		{name: "epolls, eventfds and timers", metric: catalog.ProcessFDAnon},
		{name: sockets, metric: catalog.ProcessFDSockets},
	} {
		if k.counted = count(p, k.metric, d.Process); k.known {
			v.kinds = append(v.kinds, k)
		}
	}
	slices.SortStableFunc(v.kinds, func(a, b kind) int {
		return cmp.Or(cmp.Compare(b.gain, a.gain), cmp.Compare(b.last, a.last))
	})
	if v.leaking = v.leaks(p); !v.near(p) {
		v.remember(p)
	}
	v.cause = v.causeOf()
	return v
}

func growthOf(points []observe.Point) (capacity.Growth, bool) {
	at, values := analysis.Split(points)
	return capacity.GrowthOf(at, values)
}

func count(p *facts.Pass, m *observe.Metric, process observe.ID) (c counted) {
	c.last, c.known = p.Last(m, process)
	c.gain = gained(p.Points(m, process))
	return c
}

// gained returns the difference between the last and the first reading.
func gained(points []observe.Point) float64 {
	if len(points) == 0 {
		return 0
	}
	return points[len(points)-1].Value - points[0].Value
}

// leaks reports whether descriptors grow through the whole window and connections
// do not explain it. If connections were not counted, sockets are used instead.
func (v *view) leaks(p *facts.Pass) bool {
	if !v.growth.Steady || v.growth.Gain < p.Param(leastGain) {
		return false
	}
	rest := v.growth.Gain
	switch {
	case v.connections.known:
		residual, ok := growthOf(v.residual(p))
		if !ok || residual.Slope <= 0 {
			return false
		}
		rest = residual.Gain
	case len(v.kinds) > 0:
		rest = v.growth.Gain - v.gainOf(sockets) + max(0, v.closeWait.gain)
	}
	return rest >= p.Param(unexplained)*v.growth.Gain
}

// residual returns, for each reading, the number of descriptors minus that of
// connections: it is constant for a server whose load grows.
func (v *view) residual(p *facts.Pass) []observe.Point {
	connections := p.Points(catalog.ProcessEstablished, v.Process)
	var rest []observe.Point
	for _, fds := range p.Points(catalog.ProcessFDs, v.Process) {
		if n, ok := level(connections, fds.At); ok {
			rest = append(rest, observe.Point{At: fds.At, Value: fds.Value - n})
		}
	}
	return rest
}

// level returns the last reading up to a time; samplers have different rates.
func level(points []observe.Point, at float64) (n float64, ok bool) {
	for _, p := range points {
		if p.At > at {
			break
		}
		n, ok = p.Value, true
	}
	return n, ok
}

func (v *view) of(name string) kind {
	for _, k := range v.kinds {
		if k.name == name {
			return k
		}
	}
	return kind{}
}

func (v *view) gainOf(name string) float64 { return v.of(name).gain }

const (
	// most is the share from which a kind describes the descriptors.
	most = 0.5
	// lowSoft is the factor between the hard and the soft limit from which the soft
	// one is a default: the kernel's is 1024 of 4096, systemd's 1024 of 524288.
	lowSoft = 4
)

// causeOf distinguishes a leak from load. At the limit nothing grows, so the kinds
// decide: descriptors of a load peak are connections.
func (v *view) causeOf() string {
	switch {
	case v.leaking, v.Exhausted() && v.hoards():
		return leak
	case v.Hard >= lowSoft*v.Limit:
		return limitTooLow
	}
	return load
}

// hoards reports whether most of the descriptors are not work in progress:
// connections that the other side has closed, or no sockets.
func (v *view) hoards() bool {
	if v.closeWait.last >= most*v.Count {
		return true
	}
	return len(v.kinds) > 0 && v.Count-v.of(sockets).last >= most*v.Count && v.connections.last < most*v.Count
}

// end returns when a leak will have used up the remaining descriptors, nil if there
// is no leak.
func (v *view) end() *capacity.Duration {
	if !v.leaking || v.Exhausted() || v.Over() {
		return nil
	}
	return capacity.UsedUp(v.climb, v.growth, v.Left())
}

// near reports whether a leak reaches the limit within the time for which its trend
// is trusted.
func (v *view) near(p *facts.Pass) bool {
	end := v.end()
	return end != nil && (v.climb != nil || end.At <= p.Param(farthest)*p.Seconds)
}

func (v *view) forecast() *analysis.Forecast {
	end := v.end()
	if end == nil {
		return nil
	}
	return &analysis.Forecast{What: "file descriptors", At: end.At, Low: end.Low, High: end.High}
}

// risen is the number that the finding is about: the growth while it grows,
// otherwise all descriptors.
func (v *view) risen() float64 {
	if v.leaking && !v.Exhausted() {
		return v.growth.Gain
	}
	return v.Count
}

// unclosed is the part of risen that waits to be closed.
func (v *view) unclosed() float64 {
	if v.leaking && !v.Exhausted() {
		return max(0, v.closeWait.gain)
	}
	return v.closeWait.last
}

// standsWithoutUnclosed reports whether there would be too few descriptors even if
// those that wait to be closed had been closed.
func (v *view) standsWithoutUnclosed(p *facts.Pass) bool {
	if v.leaking && v.growth.Gain-max(0, v.closeWait.gain) >= p.Param(unexplained)*v.growth.Gain {
		return true
	}
	return v.Peak-v.closeWait.last >= p.Param(warnShare)*v.Limit
}

const (
	// grown is the confidence in a leak after some seconds of growth; flat is added if
	// connections were counted and do not grow, sure if the slope is significant.
	grown, flat, sure = 0.55, 0.15, 0.1
	// hoarded is the confidence at a limit that is used up by other things than
	// connections: a database can intend to hold that many files. unclosedOnes is the
	// confidence for connections that were not closed.
	hoarded, unclosedOnes = 0.6, 0.9
	// working is the confidence for descriptors that are known to be connections,
	// guessed for those of unknown kind, or with an unknown limit.
	working, guessed = 0.9, 0.6
	// surely is the Z above which a slope is significant (docs/science.md, Memory
	// growth).
	surely = 2.6
	// grace is the length of a start-up, youngProcess the factor of the confidence in
	// growth during it.
	grace, youngProcess = 60.0, 0.85
)

// confidence returns the confidence in the cause; the distance to the limit is
// counted.
func (v *view) confidence(p *facts.Pass) float64 {
	switch {
	case v.Over() && !v.Exhausted():
		return guessed
	case v.cause == leak && v.leaking:
		return v.confidenceInGrowth(p)
	case v.cause == leak && v.closeWait.last >= most*v.Count:
		return unclosedOnes
	case v.cause == leak:
		return hoarded
	case v.connections.last >= most*v.Count:
		return working
	}
	return guessed
}

func (v *view) confidenceInGrowth(p *facts.Pass) float64 {
	c := grown
	if v.connections.known && max(0, v.connections.gain) <= v.growth.Gain/10 && v.gainOf(sockets) <= v.growth.Gain/2 {
		c += flat
	}
	if v.growth.Z > surely {
		c += sure
	}
	if age, known := p.Last(catalog.ProcessAge, v.Process); known && age < grace {
		c *= youngProcess
	}
	return c
}
