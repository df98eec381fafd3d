// SPDX-License-Identifier: Apache-2.0

package cachetoosmall

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

func TestRecorded(t *testing.T) { analysistest.Run(t, Analyzer) }

const (
	seconds = 60
	mib     = 1 << 20
)

// A made is a Redis that evicts keys. Its reads are uniform over some keys: an LRU cache
// has each with the same probability.
type made struct {
	perSecond float64 // reads
	of        float64 // keys that are read
	keys      float64 // that it has
	hit       float64 // as it counts; 0 for keys/of
	seen      float64 // keys seen before the window; 0 for all
	evicted   float64 // per second
	policy    string
	counted   float64 // share of reads that were seen at sockets; 0 for all
	room      float64 // bytes left on the host
	unread    float64 // share of reads of keys that are read once
}

// usual evicts, and has room for all keys.
var usual = made{perSecond: 5000, of: 100_000, keys: 40_000, evicted: 100, policy: "allkeys-lru", room: 1 << 30}

func (m made) host(t *testing.T) *handmade.Host {
	h := handmade.New(t, seconds, 2)
	process := h.Process("42", "redis", "redis-server", observe.None)
	id := h.Add(observe.Cache, "42:1", process, catalog.AttrPolicy, m.policy)
	h.Set(catalog.MemoryTotal, h.Node(), 8<<30)
	h.Set(catalog.HostMemoryAvailable, h.Node(), m.room)
	reads := m.perSecond * seconds
	again := reads * (1 - m.unread)
	below := 0.0
	for _, bound := range catalog.RedisBounds {
		if share := (min(bound, m.of) - below) / m.of; share > 0 {
			h.Hist(catalog.RedisReuse, id, bound, again*share)
		}
		below = min(bound, m.of)
	}
	seen := m.of
	if m.seen > 0 {
		seen = m.seen
	}
	h.Hist(catalog.RedisSeen, id, seen*1.2, reads)
	h.Hist(catalog.RedisFirst, id, seen*1.2, reads*m.unread)
	h.Set(catalog.RedisCurve, id, reads)
	counted := 1.0
	if m.counted > 0 {
		counted = m.counted
	}
	h.Set(catalog.RedisReads, id, reads*counted)
	hit := m.hit
	if hit == 0 {
		hit = m.keys / m.of * (1 - m.unread)
	}
	h.Set(catalog.RedisHits, id, hit*reads)
	h.Set(catalog.RedisMisses, id, (1-hit)*reads)
	h.Set(catalog.RedisEvicted, id, m.evicted*seconds)
	h.Set(catalog.RedisKeyCount, id, m.keys)
	const each = 1000
	h.Set(catalog.RedisData, id, m.keys*each)
	h.Set(catalog.RedisMemory, id, m.keys*each+mib)
	h.Set(catalog.RedisLimit, id, m.keys*each+mib)
	return h
}

func (m made) with(change func(*made)) made {
	change(&m)
	return m
}

// TestAdvice checks the number: of 60 % of misses, 54 can be won with 90 % of the memory
// that is missing.
func TestAdvice(t *testing.T) {
	h := usual.host(t)
	f := h.One(Analyzer)
	if f == nil {
		t.Fatal("no finding")
	}
	r := f.Recommendations[0]
	t.Logf("%s\n-> %s\n-> %s\n-> %s", f.Summary, r.Action, r.Verify, r.Risk)
	// 94,000 keys of 1,000 bytes are 54,000 more than now.
	want := (usual.keys*1000 + mib + 54_000*1000*margin) / mib
	if r.Quantity.Value < 0.95*want || r.Quantity.Value > 1.07*want || r.Quantity.Unit != "MiB" {
		t.Errorf("quantity = %v, want %v MiB", r.Quantity.Value, want)
	}
	if to := r.Expect[0].To; r.Expect[0].From != 0.4 || to < 0.91 || to > 0.98 {
		t.Errorf("expected hit ratio = %v to %v, want 0.4 to 0.94", r.Expect[0].From, to)
	}
	if !strings.Contains(r.Risk, "GiB") || f.Severity != analysis.Warning {
		t.Errorf("risk = %q, severity %v", r.Risk, f.Severity)
	}
}

// TestRoom checks that the advice stays within the memory of the host.
func TestRoom(t *testing.T) {
	f := usual.with(func(m *made) { m.room = 80 * mib }).host(t).One(Analyzer)
	if f == nil {
		t.Fatal("no finding")
	}
	if most := *f.Recommendations[0].Quantity.High; most > 39+40 {
		t.Errorf("up to %v MiB, with 80 MiB left", most)
	}
}

// TestSilent checks each reason for silence.
func TestSilent(t *testing.T) {
	for name, change := range map[string]func(*made){
		"nothing evicted":          func(m *made) { m.evicted = 0 },
		"few reads":                func(m *made) { m.perSecond = 100 },
		"few misses":               func(m *made) { m.keys, m.of = 98_000, 100_000 },
		"more keys than fit":       func(m *made) { m.of, m.keys, m.room = 2_000_000, 300_000, 100*mib },
		"read once":                func(m *made) { m.unread, m.of, m.keys = 0.5, 40_000, 40_000 },
		"keys not seen yet":        func(m *made) { m.seen = 35_000 },
		"no room":                  func(m *made) { m.room = 0 },
		"low rate of avoidable":    func(m *made) { m.perSecond, m.keys, m.of = 170, 99_000, 105_000 },
		"the largest size seen":    func(m *made) { m.seen = 41_000 },
		"no memory limit, no keys": func(m *made) { m.keys = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			if f := usual.with(change).host(t).One(Analyzer); f != nil {
				t.Errorf("%s\n%s", f.Summary, f.Recommendations[0].Action)
			}
		})
	}
}

// TestSkipped checks that a Redis that the curve does not describe is no healthy one.
func TestSkipped(t *testing.T) {
	for want, change := range map[string]func(*made){
		"by the policy volatile-ttl":      func(m *made) { m.policy = "volatile-ttl" },
		"were not seen at its sockets":    func(m *made) { m.counted = 0.8 },
		"is not explained by the order":   func(m *made) { m.hit = 0.33 },
		"explained by the order in which": func(m *made) { m.hit = 0.47 },
	} {
		r := usual.with(change).host(t).Run(Analyzer)
		if len(r.Findings) != 0 || len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0].Reason, want) {
			t.Errorf("%q: %d findings, skipped %+v", want, len(r.Findings), r.Skipped)
		}
	}
}
