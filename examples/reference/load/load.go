// SPDX-License-Identifier: Apache-2.0

// Package load sends the requests of clients, called visitors, to the shop. Arrivals
// are a Poisson process that does not depend on the answers (an open loop), and
// request a mix of routes. The same seed gives the same requests.
package load

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options configure a run.
type Options struct {
	URL      string
	Rate     float64 // arrivals per second, on average
	Duration time.Duration
	Seed     uint64
}

const (
	// maxInFlight limits the pending requests if the shop does not answer; requests
	// above it are dropped, and count as errors.
	maxInFlight = 400
	// requestLimit is the timeout of a request.
	requestLimit = 15 * time.Second
)

// Run sends the load and records the results in seen. It ends early with ctx.
func Run(ctx context.Context, o Options, seen *Record) {
	random := rand.New(rand.NewPCG(o.Seed, 1))
	client := &http.Client{Timeout: requestLimit, Transport: &http.Transport{
		MaxIdleConns: maxInFlight, MaxIdleConnsPerHost: maxInFlight, DisableCompression: true,
	}}
	defer client.CloseIdleConnections()
	slots := make(chan struct{}, maxInFlight)
	var wg sync.WaitGroup
	defer wg.Wait()
	began := time.Now()
	for due := began; ; {
		due = due.Add(time.Duration(random.ExpFloat64() / o.Rate * float64(time.Second)))
		ask := pick(random)
		if due.Sub(began) > o.Duration || !sleepUntil(ctx, due) {
			return
		}
		select {
		case slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-slots }()
				ok := send(ctx, client, o.URL, ask)
				seen.add(ask.route, time.Since(due), ok)
			})
		default:
			seen.add(ask.route, 0, false)
		}
	}
}

// send sends one request, reads the whole answer, and reports whether it succeeded.
func send(ctx context.Context, client *http.Client, url string, r request) bool {
	req, err := http.NewRequestWithContext(ctx, r.method, url+r.path, strings.NewReader(r.body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Session", r.session)
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode < 400
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
