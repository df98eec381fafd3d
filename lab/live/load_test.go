// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/traffic"
)

// A load is an open loop that ends with the scenario.
type load struct{ *traffic.Load }

// httpLoad requests a URL at a rate per second until the scenario ends.
func httpLoad(t *testing.T, url string, rate float64) *load {
	t.Helper()
	return openLoop(t, rate, traffic.HTTP(url))
}

// openLoop calls ask at a rate per second until the scenario ends.
func openLoop(t *testing.T, rate float64, ask func(context.Context) error) *load {
	t.Helper()
	l := &load{traffic.Open(context.Background(), rate, ask)}
	t.Cleanup(l.Stop)
	return l
}

// waitAnswers waits until so many requests were answered: the server is warm.
func (l *load) waitAnswers(t *testing.T, n int) {
	t.Helper()
	outside.Eventually(t, startLimit, fmt.Sprintf("%d answers", n), func() bool { return l.Answered() >= n })
}

// mustBeSlow checks the scenario itself: at least one in twenty of the answers during
// the observation took that long. Otherwise the fault did not occur and nothing was
// tested.
func (l *load) mustBeSlow(t *testing.T, r *report, atLeast time.Duration) {
	t.Helper()
	took := l.Between(r.began, r.ended)
	if len(took) == 0 {
		t.Fatalf("the scenario does not hold: no answer in the window (sent %d, failed %d, dropped %d)", l.Sent.Load(), l.Failed.Load(), l.Dropped.Load())
	}
	if p95 := took[len(took)*95/100]; p95 < atLeast {
		t.Fatalf("the scenario does not hold: 95%% of %d answers came within %v, %v expected", len(took), p95, atLeast)
	}
}

// closedLoop sends requests as fast as the server answers, and returns the answers
// per second: the capacity of the server for that route.
func closedLoop(t *testing.T, url string, conns int, lasting time.Duration) float64 {
	t.Helper()
	rate := traffic.Closed(t.Context(), traffic.HTTP(url), conns, lasting)
	if rate == 0 {
		t.Fatalf("no answer from %s in %v", url, lasting)
	}
	return rate
}
