// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headroom-project/headroom/lab/traffic"
)

// deployed is how many times the service is replaced within a window.
const deployed = 3

// deploy repeatedly replaces a server under load by a new one, as a rolling deploy
// does: processes start, compile, serve and end. No request waits.
func deploy(t *testing.T, l *lab) {
	var now atomic.Pointer[process]
	now.Store(l.node(t, nil))
	client := traffic.NewClient(traffic.MaxInFlight)
	load := openLoop(t, 100, func(ctx context.Context) error { return traffic.Get(ctx, client, now.Load().url("/ok")) })
	load.waitAnswers(t, 100)

	var rollout sync.WaitGroup
	rollout.Go(func() {
		for range deployed {
			time.Sleep(observeFor / (deployed + 1))
			old := now.Swap(l.node(t, nil))
			time.Sleep(time.Second) // until pending requests are answered
			old.end()
		}
	})
	r := l.observe(t)
	rollout.Wait()
	if failed := load.Failed.Load(); failed > 0 {
		t.Fatalf("the scenario does not hold: %d requests failed", failed)
	}
	r.nothingElse(t)
}
