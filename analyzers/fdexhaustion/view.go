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

// A view is a process's descriptors with what they are and how they move.
type view struct {
	facts.Descriptors
	cause string
	// growth is how their number moved; leaking says that it grew steadily
	// and connections do not explain it.
	growth  capacity.Growth
	leaking bool
	// climb is growth of hours that the history shows; nil for growth of the window.
	climb *capacity.Climb
	// kinds are what they are, the one that grew most first; empty when the
	// process was not looked at that closely.
	kinds []kind
	// connections are the established ones, closeWait those that the other
	// side has closed.
	connections, closeWait counted
}

// A kind is some of the descriptors.
type kind struct {
	counted
	name   string
	metric *observe.Metric
}

// counted is a number that may be unknown, and what it gained.
type counted struct {
	known      bool
	last, gain float64
}

// sockets is the kind that connections are among.
const sockets = "sockets"

func look(p *facts.Pass, d facts.Descriptors) *view {
	v := &view{Descriptors: d}
	if fds := p.Points(catalog.ProcessFDs, d.Process); gained(fds) >= p.Param(leastGain) {
		v.growth, _ = growthOf(fds) // takes the square of their number
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

// gained is by how much the last reading is above the first.
func gained(points []observe.Point) float64 {
	if len(points) == 0 {
		return 0
	}
	return points[len(points)-1].Value - points[0].Value
}

// leaks reports whether descriptors grow through all of the window and the
// connections do not account for it. Where connections were not counted,
// sockets are taken for them.
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

// residual is what the descriptors number beyond the connections, at each
// reading: flat for a server that took up load.
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

// level is the last reading up to some second; samplers have rates of their
// own.
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
	// most is the share of the descriptors that says what they are.
	most = 0.5
	// lowSoft is how many times the soft limit the hard one is where no person
	// chose the soft one: the kernel starts with 1024 of 4096, systemd with
	// 1024 of 524288.
	lowSoft = 4
)

// causeOf tells a leak from work. At the limit nothing grows any more; what
// the descriptors are has to tell: a peak of work is connections.
func (v *view) causeOf() string {
	switch {
	case v.leaking, v.Exhausted() && v.hoards():
		return leak
	case v.Hard >= lowSoft*v.Limit:
		return limitTooLow
	}
	return load
}

// hoards reports whether most of the descriptors are no work in progress:
// connections that the other side has closed, or no sockets.
func (v *view) hoards() bool {
	if v.closeWait.last >= most*v.Count {
		return true
	}
	return len(v.kinds) > 0 && v.Count-v.of(sockets).last >= most*v.Count && v.connections.last < most*v.Count
}

// end is when a leak has used up what is left, nil when there is none.
func (v *view) end() *capacity.Duration {
	if !v.leaking || v.Exhausted() || v.Over() {
		return nil
	}
	if v.climb != nil {
		d := v.climb.Until(v.climb.Level + v.Left())
		return &d
	}
	if d, ok := v.growth.Until(v.Left()); ok {
		return &d
	}
	return nil
}

// near reports whether a leak ends within the time for which its trend is trusted.
func (v *view) near(p *facts.Pass) bool {
	end := v.end()
	return end != nil && (v.climb != nil || end.At <= p.Param(farthest)*p.Seconds)
}

func soonest(d *capacity.Duration) float64 {
	if d.Low != nil {
		return *d.Low
	}
	return d.At
}

func (v *view) forecast() *analysis.Forecast {
	end := v.end()
	if end == nil {
		return nil
	}
	return &analysis.Forecast{What: "file descriptors", At: end.At, Low: end.Low, High: end.High}
}

// risen is what the finding is about: the growth while it grows, else all
// that is held.
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

// standsWithoutUnclosed reports whether there would be too few descriptors if
// those that wait to be closed had been closed.
func (v *view) standsWithoutUnclosed(p *facts.Pass) bool {
	if v.leaking && v.growth.Gain-max(0, v.closeWait.gain) >= p.Param(unexplained)*v.growth.Gain {
		return true
	}
	return v.Peak-v.closeWait.last >= p.Param(warnShare)*v.Limit
}

const (
	// grown is the confidence in a leak that was seen to grow for some
	// seconds; flat adds to it that connections were counted and stay, sure
	// that the slope is no chance.
	grown, flat, sure = 0.55, 0.15, 0.1
	// hoarded is for a limit that is sat at with what is no connection: a
	// database can mean to hold that many files. unclosedOnes are no longer
	// intention.
	hoarded, unclosedOnes = 0.6, 0.9
	// working is for descriptors that were seen to be connections, guessed for
	// those that were not looked at, or the rest of whose limit is not known.
	working, guessed = 0.9, 0.6
	// surely is the Z beyond which a slope is no chance (docs/science.md, Memory growth).
	surely = 2.6
	// grace is how long a start-up takes, youngProcess what it leaves of the
	// confidence in a growth.
	grace, youngProcess = 60.0, 0.85
)

// confidence is in the cause: that the limit is near is counted.
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
