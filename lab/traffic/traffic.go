// SPDX-License-Identifier: Apache-2.0

// Package traffic sends requests to the servers of the lab: at a fixed rate, or as
// fast as the server answers. It does not check the content of the answers.
package traffic

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Load sends requests at a fixed rate that does not depend on the answers (an open
// loop), so that stalls of the server are visible.
type Load struct {
	Sent, Failed, Dropped atomic.Int64

	stop    func()
	mu      sync.Mutex
	answers []answer
}

type answer struct {
	at   time.Time // when the answer arrived
	took time.Duration
}

// An Ask sends one request and waits for the answer.
type Ask func(context.Context) error

// MaxInFlight limits the pending requests to a server that does not answer.
const MaxInFlight = 64

// maxLate is how far the load may fall behind and catch up. Requests that are later,
// because the machine is busy, are dropped instead of sent in a burst: the burst
// would be a fault that is not part of the scenario.
const maxLate = 5 * time.Millisecond

// RequestLimit is longer than the longest hang that a scenario makes.
const RequestLimit = 40 * time.Second

// NewClient returns an HTTP client that reuses its connections.
func NewClient(conns int) *http.Client {
	return &http.Client{
		Timeout: RequestLimit,
		Transport: &http.Transport{
			MaxIdleConns: conns, MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns,
			DisableCompression: true, // to save CPU in the client
		},
	}
}

// Get sends one request and reads the whole answer.
func Get(ctx context.Context, client *http.Client, url string) error {
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

// HTTP returns an Ask that requests a URL and reuses its connections.
func HTTP(url string) Ask {
	client := NewClient(MaxInFlight)
	return func(ctx context.Context) error { return Get(ctx, client, url) }
}

// Open calls ask at a rate per second until Stop is called or the context ends.
func Open(ctx context.Context, rate float64, ask Ask) *Load {
	l := &Load{}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx, rate, ask)
	}()
	l.stop = func() { cancel(); <-done }
	return l
}

// Stop ends the load and waits until it has ended.
func (l *Load) Stop() { l.stop() }

func (l *Load) run(ctx context.Context, rate float64, ask Ask) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, MaxInFlight)
	every := time.Duration(float64(time.Second) / rate)
	for due := time.Now(); SleepUntil(ctx, due); due = due.Add(every) {
		if late := time.Since(due); late > maxLate {
			due = due.Add(late)
		}
		select {
		case slots <- struct{}{}:
		default:
			l.Dropped.Add(1)
			continue
		}
		l.Sent.Add(1)
		wg.Go(func() {
			l.one(ctx, due, ask)
			<-slots
		})
	}
}

// one sends a request. It measures from when the request was due, not from when
// it was sent.
func (l *Load) one(ctx context.Context, due time.Time, ask Ask) {
	err := ask(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.Failed.Add(1)
		return
	}
	now := time.Now()
	l.mu.Lock()
	l.answers = append(l.answers, answer{now, now.Sub(due)})
	l.mu.Unlock()
}

// SleepUntil waits until a time. It returns false if the context ends first.
func SleepUntil(ctx context.Context, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Answered returns how many requests were answered.
func (l *Load) Answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answers)
}

// Between returns the sorted durations of the requests answered within a window.
func (l *Load) Between(from, to time.Time) []time.Duration {
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

// Closed runs concurrent clients that call ask again as soon as it returns. It
// returns the answers per second: the capacity of the server.
func Closed(ctx context.Context, ask Ask, clients int, lasting time.Duration) float64 {
	ctx, cancel := context.WithTimeout(ctx, lasting)
	defer cancel()
	var answered atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				if ask(ctx) == nil {
					answered.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return float64(answered.Load()) / time.Since(start).Seconds()
}
