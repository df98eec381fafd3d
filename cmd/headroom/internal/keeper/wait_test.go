// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestWaitIsBounded checks that an agent that ends waits at most two seconds for a save
// that hangs, and logs that state is lost.
func TestWaitIsBounded(t *testing.T) {
	var log bytes.Buffer
	k := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	k.dir = "/hung"
	began := time.Now()
	k.Wait() // Start was not called: done stays open, as when a save hangs
	if took := time.Since(began); took > lastPatience+time.Second || lastPatience > 2*time.Second {
		t.Errorf("the end took %v, want about %v, and at most 2 s", took, lastPatience)
	}
	if got := log.String(); !strings.Contains(got, "state that was not saved is lost") || !strings.Contains(got, "path=/hung") {
		t.Errorf("log = %q, want that state is lost, and where", got)
	}
}
