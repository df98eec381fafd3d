// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/ledger"
)

// TestAbsentSeriesGoesOn checks that a series that was part of Other for a while
// continues with its total and its start, and that a series that was absent for longer
// than totals are kept is new.
func TestAbsentSeriesGoesOn(t *testing.T) {
	p := newProducer(ledger.New(), "v0", false)
	began := time.Now()
	p.known["a"] = &labels{since: began, sets: make(map[string]attribute.Set)}
	produce := func(after time.Duration, there bool) {
		p.drawn, p.known = p.known, make(map[any]*labels)
		if there {
			p.labels(ledger.Series{Metric: catalog.HostFDs, Key: "a"})
		}
		p.keepAbsent(began.Add(after))
		p.asked = began.Add(after)
	}
	produce(time.Minute, true)
	produce(2*time.Minute, false)
	produce(goesOn, false)
	produce(goesOn+30*time.Second, true)
	if l := p.known["a"]; l == nil || !l.since.Equal(began) {
		t.Errorf("a series that was absent for less than an hour = %+v, want since %v", l, began)
	}
	produce(2*goesOn+time.Minute, false)
	produce(3*goesOn, true)
	if l := p.known["a"]; l == nil || !l.since.After(began) {
		t.Errorf("a series that was absent for longer = %+v, want a new start", l)
	}
}
