// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"testing"
	"time"
)

// TestBlocksAreReadWhileTheyMakeTicksLong checks when an agent pays for reading them.
func TestBlocksAreReadWhileTheyMakeTicksLong(t *testing.T) {
	const ms = 1_000_000
	start := time.Unix(1000, 0)
	var b blocks
	for _, step := range []struct {
		at    time.Duration
		total uint64
		want  bool
	}{
		{0, 500 * ms, false}, // before the first reading
		{time.Second, 530 * ms, false},
		{2 * time.Second, 600 * ms, true},
		{3 * time.Second, 600 * ms, true},
		{4 * time.Second, 100 * ms, true}, // a loop has ended
		{2*time.Second + blocksFor, 120 * ms, false},
		{3*time.Second + blocksFor, 200 * ms, true},
	} {
		if got := b.needed(step.total, start.Add(step.at)); got != step.want {
			t.Errorf("at %v, after %d ms: needed = %v, want %v", step.at, step.total/ms, got, step.want)
		}
	}
}
