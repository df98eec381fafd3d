// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/traffic"
)

const cacheTooSmall = "cache-too-small"

// redisSmall runs a redis that has room for a fifth of the keys that are read. Then it
// gets the memory that is recommended, and its hit ratio must be the expected one.
func redisSmall(t *testing.T, l *lab) {
	const perSecond, keys, size = 10_000, 8_000, 1000
	port := strconv.Itoa(outside.FreePort(t))
	server := start(t, exec.Command(need(t, "redis-server"), "--bind", "127.0.0.1", "--port", port,
		"--save", "", "--appendonly", "no", "--dir", l.dir, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"))
	waitPort(t, server, "127.0.0.1:"+port)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.05, 10, keys-1)
	reads, err := traffic.DialCached(server.addr, size, zipf.Uint64)
	outside.Must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- reads.Run(ctx, perSecond) }()
	defer func() {
		cancel()
		outside.Must(t, <-ended)
	}()
	outside.Eventually(t, startLimit, "keys are evicted", func() bool { return reads.Misses.Load() > keys/2 })
	r := l.observe(t)
	rec := r.find(t, cacheTooSmall, "working-set-exceeds-maxmemory", pid(server.pid)).recommends(t, "raise-maxmemory")
	if rec.Quantity == nil || len(rec.Expect) != 1 || rec.Expect[0].Low == nil || rec.Expect[0].High == nil {
		t.Fatalf("no memory, or no interval of the hit ratio: %+v", rec)
	}
	outside.Must(t, dialRedis(t, server.addr).Do(t.Context(), "CONFIG SET maxmemory "+strconv.FormatFloat(*rec.Quantity, 'f', 0, 64)+"mb"))
	low, high := *rec.Expect[0].Low, *rec.Expect[0].High
	// Misses fill the memory, which takes a few seconds.
	outside.Eventually(t, settleLimit, "the hit ratio is the expected one", func() bool {
		share := hitRatio(reads, 500*time.Millisecond)
		t.Logf("hit ratio %.3f, want %.3f to %.3f", share, low, high)
		return share >= low && share <= high
	})
	if share := hitRatio(reads, time.Second); share < low || share > high {
		t.Errorf("hit ratio = %.3f with %v MiB, want %.3f to %.3f", share, *rec.Quantity, low, high)
	}
}

// settleLimit is the maximum time until misses have filled the memory.
const settleLimit = 30 * time.Second

// hitRatio returns the hit ratio of the next reads.
func hitRatio(c *traffic.Cached, d time.Duration) float64 {
	hits, misses := c.Hits.Load(), c.Misses.Load()
	time.Sleep(d)
	hits, misses = c.Hits.Load()-hits, c.Misses.Load()-misses
	return float64(hits) / max(1, float64(hits+misses))
}
