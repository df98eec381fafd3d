// SPDX-License-Identifier: Apache-2.0

package live

import (
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/contract"
	"github.com/headroom-project/headroom/lab/traffic"
)

// Scenarios of a container whose CPU limit is too low, and of the fix.

const throttledContainer = "cpu-throttled"

// tightLimit is the limit in cores: 20% of one.
const tightLimit = 0.2

// quota needs more CPU than the limit: 8 requests a second of 30 ms each, plus the
// overhead of node. A request stalls the event loop only because it is throttled.
func quota(t *testing.T, l *lab) {
	c := l.runNode(t, tightLimit)
	l.throttledThenFixed(t, c, httpLoad(t, c.url("/burn?ms=30"), 8), 0.25, 2)
}

// quotaBursts needs less than the limit on average, but in bursts: 3 requests a
// second of 30 ms, each of which takes two or three periods of 15 ms. Without the limit
// each request would be in time, by a margin of 20 ms for what the hypervisor takes.
func quotaBursts(t *testing.T, l *lab) {
	c := l.runNode(t, 0.15)
	l.throttledThenFixed(t, c, httpLoad(t, c.url("/burn?ms=30"), 3), 0.25, 2)
}

// throttledThenFixed observes, applies the recommendation, and observes again.
func (l *lab) throttledThenFixed(t *testing.T, c *container, fault *load, low, high float64) {
	t.Helper()
	fault.waitAnswers(t, 3)
	before := c.throttled(t)
	r := l.observe(t)
	if held := c.throttled(t) - before; held < observeFor/10 {
		t.Fatalf("the scenario does not hold: throttled for %v of %v", held, observeFor)
	}
	fault.mustBeSlow(t, r, 100*time.Millisecond)

	root := r.find(t, throttledContainer, "limit-too-low", inContainer(c.id))
	if root.SymptomOf != nil {
		t.Errorf("the limit is the cause, not a symptom: %s", root)
	}
	if root.Subject.Pod != c.pod {
		t.Errorf("pod = %q, want %q", root.Subject.Pod, c.pod)
	}
	if late := r.find(t, blockedLoop, "cpu-throttled", inContainer(c.id)); r.stolen < contract.NoticedSteal {
		late.explainedBy(t, throttledContainer) // with steal time it can be late without the limit, too
	}
	r.nothingElse(t, about(throttledContainer, inContainer(c.id)), about(blockedLoop, inContainer(c.id)))

	rec := root.recommends(t, "raise-cpu-limit")
	cores := rec.quantity(t, low, high)
	outside.Must(t, c.group.Update(cgroups.CPULimit(cores)))
	drained(t, c, fault)
	l.observeAs(t, "cured").nothingElse(t)
}

// drained waits until the requests queued under the old limit are answered: until a
// light request takes less than 100 ms ten times in a row.
func drained(t *testing.T, c *container, _ *load) {
	t.Helper()
	client := traffic.NewClient(1)
	row := 0
	outside.Eventually(t, startLimit, "ten quick answers in a row", func() bool {
		asked := time.Now()
		if traffic.Get(t.Context(), client, c.url("/ok")) != nil || time.Since(asked) > 100*time.Millisecond {
			row = 0
			return false
		}
		row++
		return row == 10
	})
}
