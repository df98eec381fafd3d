// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A Health counts what became of what was sent, and logs when it begins to fail
// and when it works again, not each try. It is safe for concurrent use.
type Health struct {
	signal Signal
	log    *slog.Logger

	mu     sync.Mutex
	counts Counts
	since  time.Time // of the failure, if it fails
}

// Counts are what a Health has counted since the start.
type Counts struct {
	Signal Signal
	// Exports are the times that all was taken, Failures those that it was not.
	Exports, Failures float64
	// Dropped are the records that it will never get.
	Dropped float64
	// Failing is whether the last time was a failure.
	Failing bool
}

// NewHealth returns a Health of nothing yet.
func NewHealth(s Signal, log *slog.Logger) *Health {
	return &Health{signal: s, log: log, counts: Counts{Signal: s}}
}

// Counts are those of now.
func (h *Health) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts
}

// Sent takes in how an export ended.
func (h *Health) Sent(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.counts.Failing
	h.counts.Failing = err != nil
	switch {
	case err == nil:
		h.counts.Exports++
		if was {
			h.log.Info("the OTLP receiver accepts "+string(h.signal)+" again", "after", time.Since(h.since).Round(time.Second))
		}
	case was:
		h.counts.Failures++
	default:
		h.counts.Failures++
		h.since = time.Now()
		h.log.Warn("the OTLP receiver does not accept "+string(h.signal)+"; retrying, logged once", "err", short(err),
			"cure", "see that it runs, and that otlp.endpoint or OTEL_EXPORTER_OTLP_ENDPOINT is its HTTP port")
	}
}

// Drop counts records that are given up.
func (h *Health) Drop(records int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Dropped += float64(records)
}

// Unreached reports whether no answer came, so that another try soon will fail too.
func Unreached(err error) bool {
	var transport *url.Error
	return errors.As(err, &transport) || errors.Is(err, context.DeadlineExceeded)
}

// Again reports whether a receiver may accept later what it rejected now. By the
// standard what it refuses with another status is to be given up.
func Again(err error) bool {
	return Unreached(err) || (err != nil && strings.HasPrefix(err.Error(), "retry-able")) // the SDK's type is not exported
}

// longest is how much of an answer is logged: it may be a page.
const longest = 300

func short(err error) string {
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + " …"
	}
	return text
}
