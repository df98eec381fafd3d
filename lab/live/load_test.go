// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A load sends requests at a fixed rate that does not depend on the answers (an open
// loop), so that stalls of the server show. It ends with the scenario.
type load struct {
	sent, failed, dropped atomic.Int64
	stop                  func() // ends it and waits until it has ended

	mu      sync.Mutex
	answers []answer
}

type answer struct {
	at   time.Time // when it arrived
	took time.Duration
}

// maxInFlight limits the pending requests to a server that does not answer.
const maxInFlight = 64

// maxLate is how far the load may fall behind and catch up. Requests that are later,
// because the machine is busy, are dropped instead of sent in a burst: the burst
// would be a fault that is not part of the scenario.
const maxLate = 5 * time.Millisecond

// requestLimit is longer than the longest hang that a scenario makes.
const requestLimit = 40 * time.Second

// newClient is an HTTP client that keeps its connections.
func newClient(conns int) *http.Client {
	return &http.Client{
		Timeout: requestLimit,
		Transport: &http.Transport{
			MaxIdleConns: conns, MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns,
			DisableCompression: true, // to save CPU in the client
		},
	}
}

// get sends one request and reads the whole answer.
func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return nil
}

// httpLoad requests a URL at a rate per second until the scenario ends.
func httpLoad(t *testing.T, url string, rate float64) *load {
	t.Helper()
	client := newClient(maxInFlight)
	return openLoop(t, rate, func(ctx context.Context) error { return get(ctx, client, url) })
}

// openLoop calls ask at a rate per second until the scenario ends.
func openLoop(t *testing.T, rate float64, ask func(context.Context) error) *load {
	t.Helper()
	l := &load{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx, rate, ask)
	}()
	l.stop = func() { cancel(); <-done }
	t.Cleanup(l.stop)
	return l
}

func (l *load) run(ctx context.Context, rate float64, ask func(context.Context) error) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxInFlight)
	every := time.Duration(float64(time.Second) / rate)
	for due := time.Now(); sleepUntil(ctx, due); due = due.Add(every) {
		if late := time.Since(due); late > maxLate {
			due = due.Add(late)
		}
		select {
		case slots <- struct{}{}:
		default:
			l.dropped.Add(1)
			continue
		}
		l.sent.Add(1)
		wg.Go(func() {
			l.one(ctx, due, ask)
			<-slots
		})
	}
}

// one measures from when the request was due, not from when it was sent.
func (l *load) one(ctx context.Context, due time.Time, ask func(context.Context) error) {
	err := ask(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.failed.Add(1)
		return
	}
	now := time.Now()
	l.mu.Lock()
	l.answers = append(l.answers, answer{now, now.Sub(due)})
	l.mu.Unlock()
}

func sleepUntil(ctx context.Context, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// waitAnswers waits until so many requests were answered: the server is warm.
func (l *load) waitAnswers(t *testing.T, n int) {
	t.Helper()
	outside.Eventually(t, startLimit, fmt.Sprintf("%d answers", n), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.answers) >= n
	})
}

// between returns the sorted durations of the requests answered within a window.
func (l *load) between(from, to time.Time) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for _, a := range l.answers {
		if !a.at.Before(from) && !a.at.After(to) {
			took = append(took, a.took)
		}
	}
	slices.Sort(took)
	return took
}

// mustBeSlow checks the scenario itself: at least one in twenty of the answers during
// the observation took that long. Otherwise the fault did not occur and nothing was
// tested.
func (l *load) mustBeSlow(t *testing.T, r *report, atLeast time.Duration) {
	t.Helper()
	took := l.between(r.began, r.ended)
	if len(took) == 0 {
		t.Fatalf("the scenario does not hold: no answer in the window (sent %d, failed %d, dropped %d)", l.sent.Load(), l.failed.Load(), l.dropped.Load())
	}
	if p95 := took[len(took)*95/100]; p95 < atLeast {
		t.Fatalf("the scenario does not hold: 95%% of %d answers came within %v, %v expected", len(took), p95, atLeast)
	}
}

// closedLoop sends requests as fast as the server answers, and returns the answers
// per second: the capacity of the server for that route.
func closedLoop(t *testing.T, url string, conns int, lasting time.Duration) float64 {
	t.Helper()
	client := newClient(conns)
	ctx, cancel := context.WithTimeout(context.Background(), lasting)
	defer cancel()
	var answered atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range conns {
		wg.Go(func() {
			for ctx.Err() == nil {
				if get(ctx, client, url) == nil {
					answered.Add(1)
				}
			}
		})
	}
	wg.Wait()
	rate := float64(answered.Load()) / time.Since(start).Seconds()
	if rate == 0 {
		t.Fatalf("no answer from %s in %v", url, lasting)
	}
	return rate
}
