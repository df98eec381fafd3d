// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"context"
	"sync"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/log"

	"github.com/headroom-project/headroom/agent/otlp"
)

const (
	// maxQueue limits the queued records: hours of a host with many findings, 2 MB.
	maxQueue = 1024
	// maxBatch is how many records are sent per request.
	maxBatch = 128
	// maxDoublings limits the delay of retries.
	maxDoublings = 4
)

// A queue is an sdk/log.Processor. The SDK's own drops a batch that the receiver did not
// accept, without counting it. This one keeps records until the receiver is available
// again, and drops the oldest ones when it is full.
type queue struct {
	exporter sdk.Exporter
	health   *otlp.Health
	retry    time.Duration

	mu      sync.Mutex
	waiting []sdk.Record
	gone    int // how many records left the queue: sent, or dropped

	wake    chan struct{}
	closing chan struct{}
	stop    context.CancelFunc // cancels the request in progress
	done    chan struct{}
}

func newQueue(e sdk.Exporter, h *otlp.Health, retry time.Duration) *queue {
	ctx, stop := context.WithCancel(context.Background())
	q := &queue{exporter: e, health: h, retry: retry, wake: make(chan struct{}, 1), closing: make(chan struct{}), stop: stop, done: make(chan struct{})}
	go q.run(ctx)
	return q
}

// Enabled implements sdk/log.Processor.
func (*queue) Enabled(context.Context, sdk.EnabledParameters) bool { return true }

// OnEmit implements sdk/log.Processor.
func (q *queue) OnEmit(_ context.Context, r *sdk.Record) error {
	q.mu.Lock()
	if len(q.waiting) == maxQueue {
		q.forget(1)
		q.health.Drop(1)
	}
	q.waiting = append(q.waiting, r.Clone())
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default: // it is awake already
	}
	return nil
}

func (q *queue) forget(n int) {
	q.waiting = append([]sdk.Record(nil), q.waiting[n:]...)
	q.gone += n
}

func (q *queue) run(ctx context.Context) {
	defer close(q.done)
	for {
		select {
		case <-q.closing:
			return
		case <-q.wake:
		}
		for wait := q.retry; !q.send(ctx); wait = min(2*wait, q.retry<<maxDoublings) {
			select {
			case <-q.closing:
				return
			case <-time.After(wait):
			}
		}
	}
}

// send sends all queued records. It returns false if a later retry may succeed.
func (q *queue) send(ctx context.Context) bool {
	for {
		q.mu.Lock()
		batch, from := append([]sdk.Record(nil), q.waiting[:min(maxBatch, len(q.waiting))]...), q.gone
		q.mu.Unlock()
		if len(batch) == 0 {
			return true
		}
		err := q.exporter.Export(ctx, batch)
		if ctx.Err() != nil && err != nil {
			return false // the sink is shutting down: not a failure of the receiver
		}
		q.health.Sent(err)
		if otlp.Again(err) {
			return false
		}
		if err != nil {
			q.health.Drop(len(batch)) // rejected completely or in part
		}
		q.mu.Lock()
		q.forget(max(0, from+len(batch)-q.gone)) // minus those dropped in the meantime
		q.mu.Unlock()
	}
}

// ForceFlush implements sdk/log.Processor: records are sent as they come.
func (*queue) ForceFlush(context.Context) error { return nil }

// Shutdown implements sdk/log.Processor. Records that are not accepted until ctx ends are
// dropped.
func (q *queue) Shutdown(ctx context.Context) error {
	close(q.closing)
	select {
	case <-q.done:
	case <-ctx.Done():
		q.stop()
		<-q.done
	}
	q.stop()
	q.send(ctx)
	q.mu.Lock()
	left := len(q.waiting)
	q.mu.Unlock()
	q.health.Drop(left)
	return q.exporter.Shutdown(ctx)
}
