// SPDX-License-Identifier: Apache-2.0

// Package portexhaustion finds clients that run out of local ports to one address:
// connections are not reused, or there are more than one tuple can hold.
package portexhaustion

import (
	_ "embed"
	"fmt"
	"math"
	"net/netip"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

//go:embed doc.md
var doc string

// Analyzer is port-exhaustion.
var Analyzer = &analysis.Analyzer{
	Name:     "port-exhaustion",
	Title:    "Do clients run out of local ports towards one address?",
	Doc:      doc,
	Category: analysis.CategoryConnections,
	Causes:   []string{noKeepAlive, oneTuple},
	Verbs:    []analysis.Verb{analysis.ReuseConnections, analysis.AddAddresses},
	Needs:    []*observe.Metric{catalog.UpstreamPorts},
	Wants:    []*observe.Metric{catalog.UpstreamTimeWait, catalog.UpstreamPortLimit},
	Params:   []*analysis.Param{warnShare, criticalShare, poolMargin},
	Run:      run,
}

const (
	noKeepAlive = "no-keep-alive"
	oneTuple    = "one-tuple"
	// timeWait is how long the kernel keeps a closed connection's port
	// (TCP_TIMEWAIT_LEN in include/net/tcp.h), in seconds; no sysctl sets it.
	timeWait = 60
)

var (
	warnShare = &analysis.Param{Name: "warn-share", Unit: observe.Ratio, Default: 0.6, Enters: true,
		Doc: "Share of the ports towards one address in use: connect(2) tries every second port first, so that from half on it searches longer."}
	criticalShare = &analysis.Param{Name: "critical-share", Unit: observe.Ratio, Default: 0.85,
		Doc: "Share of the ports in use that is critical: with 28,232 ports and 60 s in TIME_WAIT it is 400 new connections per second; with 70 more, connect(2) fails."}
	poolMargin = &analysis.Param{Name: "pool-margin", Unit: observe.Ratio, Default: 1.3,
		Doc: "Size of a pool per connection in use (Little's law), with room for bursts between two readings."}
)

func run(p *analysis.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for id := range p.Entities(catalog.UpstreamPorts) {
		u, ok := look(p, id)
		if !ok {
			continue
		}
		p.Checked()
		if u.share() >= p.Param(warnShare) {
			fs = append(fs, u.finding(p))
		}
	}
	return fs
}

// An upstream is a source and a destination, with the ports in use between them.
type upstream struct {
	id                 observe.ID
	peak, waiting      float64 // ports that a new connection cannot use; the part of them in TIME_WAIT
	limit              float64
	source, to, client string
	known              bool // the owner of the connections
	reused             bool
}

func look(p *analysis.Pass, id observe.ID) (upstream, bool) {
	u := upstream{id: id, source: p.Attr(id, catalog.AttrSource), reused: p.Attr(id, catalog.AttrTimeWaitReused) != ""}
	var ok bool
	if u.limit, ok = p.Last(catalog.UpstreamPortLimit, id); !ok || u.limit <= 0 {
		return u, false
	}
	last, _ := p.Last(catalog.UpstreamPorts, id)
	_, u.peak, _ = p.Range(catalog.UpstreamPorts, id)
	u.waiting, _ = p.Last(catalog.UpstreamTimeWait, id)
	if u.reused {
		// connect reuses ports that have been in TIME_WAIT for more than a second.
		taken := u.waiting * (timeWait - 1) / timeWait
		u.peak, u.waiting = last-taken, u.waiting-taken
	}
	u.to = destination(p, id)
	u.client, u.known = client(p, id)
	return u, true
}

// destination formats address and port.
func destination(p *analysis.Pass, id observe.ID) string {
	address, port := p.Attr(id, catalog.AttrDestination), p.Attr(id, catalog.AttrDestPort)
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() {
		address = "[" + address + "]"
	}
	return address + ":" + port
}

// client returns the owner of the connections, as far as it is known.
func client(p *analysis.Pass, id observe.ID) (string, bool) {
	for _, kind := range []observe.EntityKind{observe.Process, observe.Cgroup} {
		if who, ok := p.Index.Ancestor(id, kind); ok {
			return p.Name(who), true
		}
	}
	return "a process that is not known", false
}

func (u upstream) share() float64 { return u.peak / u.limit }

func (u upstream) cause() string {
	if u.waiting > u.peak/2 {
		return noKeepAlive
	}
	return oneTuple
}

func (u upstream) finding(p *analysis.Pass) analysis.Finding {
	f := analysis.Finding{
		Cause:      u.cause(),
		Severity:   analysis.Warning,
		Confidence: u.confidence(p),
		Impact:     min(1, u.share()),
		Subject:    u.id,
		Summary: fmt.Sprintf("%s %s of local ports: %.0f of %.0f towards %s from %s are taken (%s)",
			u.client, u.effect(), u.peak, u.limit, u.to, u.source, analysis.Percent(u.share())),
		Evidence: []analysis.Evidence{
			{Metric: catalog.UpstreamPorts, Label: "share of the range", Value: u.share(), Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnShare))},
			{Metric: catalog.UpstreamTimeWait, Label: "ports", Value: u.waiting, Unit: observe.Count},
		},
		Forecast: u.forecast(p),
	}
	if u.share() >= p.Param(criticalShare) {
		f.Severity = analysis.Critical
	}
	if u.cause() == noKeepAlive {
		f.Summary += fmt.Sprintf(", %.0f of them by closed connections in TIME_WAIT, %s new ones per second", u.waiting, rate(u.rate()))
		f.Recommendations = []analysis.Recommendation{u.reuse(p)}
	} else {
		f.Summary += ", by connections that are open"
		f.Recommendations = []analysis.Recommendation{u.addresses(p)}
	}
	return f
}

// effect distinguishes future failures from current ones.
func (u upstream) effect() string {
	if u.peak >= u.limit {
		return "has run out"
	}
	return "is about to run out"
}

// confidence depends on the range: ports are counted, but the range is sometimes
// assumed.
func (u upstream) confidence(p *analysis.Pass) float64 {
	const counted, assumed = 0.95, 0.7
	if p.Attr(u.id, catalog.AttrPortsAssumed) != "" {
		return assumed
	}
	return counted
}

// rate is the rate of new connections in equilibrium, when as many leave TIME_WAIT
// as enter it.
func (u upstream) rate() float64 { return u.waiting / timeWait }

func rate(perSecond float64) string {
	if perSecond < 9.95 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return fmt.Sprintf("%.0f", perSecond)
}

// reuse computes the size of a pool by Little's law: connections in use are the
// arrival rate times the time that each is held.
func (u upstream) reuse(p *analysis.Pass) analysis.Recommendation {
	inUse := max(1, u.peak-u.waiting)
	pool := max(1, math.Ceil(inUse*p.Param(poolMargin)))
	return analysis.Recommendation{
		Verb:     analysis.ReuseConnections,
		Quantity: &analysis.Estimate{Value: pool, Low: analysis.Bound(math.Ceil(inUse)), Unit: "connections"},
		Action: fmt.Sprintf("Reuse connections from %s to %s: use HTTP keep-alive, or a pool of %s (1.3 times the connections in use)",
			u.client, u.to, analysis.Number(pool, "connection", "connections")),
		Verify: fmt.Sprintf("headroom.upstream.ports.time_wait towards %s falls for a minute, to nearly 0", u.to),
		Risk:   "a request on an idle connection that the peer closes fails: keep connections for less time than the peer does",
		NotIf:  "each connection belongs to another client (a TCP proxy): then add addresses",
		Expect: []analysis.Expectation{{Metric: catalog.UpstreamPorts, Label: "share of the range", From: u.share(), To: min(1, pool/u.limit), Unit: observe.Ratio}},
	}
}

// addresses returns how many more tuples hold the same connections below the
// warning threshold.
func (u upstream) addresses(p *analysis.Pass) analysis.Recommendation {
	more := max(1, math.Ceil(u.peak/(p.Param(warnShare)*u.limit))-1)
	return analysis.Recommendation{
		Verb:     analysis.AddAddresses,
		Quantity: &analysis.Estimate{Value: more, Low: analysis.Bound(more), Unit: "addresses"},
		Action: fmt.Sprintf("Add %s from which %s connects, or as many at which %s is reached: each has %.0f ports of its own",
			analysis.Number(more, "address", "addresses"), u.client, u.to, u.limit),
		Verify: fmt.Sprintf("headroom.upstream.ports.used towards %s falls below %s of the range", u.to, analysis.Percent(p.Param(warnShare))),
		Risk:   "the firewall of the peer must allow the new addresses",
		NotIf:  "the connections are idle, so that a smaller pool is enough, or net.ipv4.ip_local_port_range is narrower than the default",
		Expect: []analysis.Expectation{{Metric: catalog.UpstreamPorts, Label: "share of the range", From: u.share(), To: u.share() / (1 + more), Unit: observe.Ratio}},
	}
}

// leastZ is the threshold above which a trend is significant (docs/science.md,
// Windows and trends).
const leastZ = 2.6

// forecast predicts when the ports run out, if they have not yet. Connections that
// are closed reach an equilibrium within a minute: the forecast is for their
// current growth.
func (u upstream) forecast(p *analysis.Pass) *analysis.Forecast {
	last, _ := p.Last(catalog.UpstreamPorts, u.id)
	left := u.limit - last
	t, ok := capacity.TrendOf(analysis.Split(p.Points(catalog.UpstreamPorts, u.id)))
	if u.reused || left <= 0 || !ok || t.Z < leastZ || t.Low <= 0 {
		return nil
	}
	if u.cause() == noKeepAlive && t.Slope*timeWait < left {
		return nil
	}
	return &analysis.Forecast{What: "local ports", At: left / t.Slope, Low: analysis.Bound(left / t.High), High: analysis.Bound(left / t.Low)}
}
