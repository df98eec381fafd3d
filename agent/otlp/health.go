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

// A Health counts the results of exports. It logs when exports start to fail and
// when they work again, not each attempt. It is safe for concurrent use.
type Health struct {
	signal Signal
	log    *slog.Logger

	mu     sync.Mutex
	counts Counts
	since  time.Time // of the current failure
}

// Counts are counts since the start.
type Counts struct {
	Signal Signal
	// Exports counts successful exports, Failures the others.
	Exports, Failures float64
	// Dropped counts the records that the receiver will never get.
	Dropped float64
	// Failing is set if the last export failed.
	Failing bool
}

// NewHealth returns a Health without counts.
func NewHealth(s Signal, log *slog.Logger) *Health {
	return &Health{signal: s, log: log, counts: Counts{Signal: s}}
}

// Counts returns the current counts.
func (h *Health) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts
}

// Sent records the result of an export.
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

// Unreached reports whether the receiver did not answer, so that another attempt
// soon would fail too.
func Unreached(err error) bool {
	var transport *url.Error
	return errors.As(err, &transport) || errors.Is(err, context.DeadlineExceeded)
}

// Again reports whether a receiver may later accept what it rejected now. With any
// other status, the standard requires to drop the data.
func Again(err error) bool {
	return Unreached(err) || (err != nil && strings.HasPrefix(err.Error(), "retry-able")) // the SDK's type is not exported
}

// longest is the maximum length of an answer in the log: it may be a whole page.
const longest = 300

func short(err error) string {
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + " …"
	}
	return text
}
