// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// BenchmarkTick reads every source of this host once per second, as in a run, and
// reports how long that took. One iteration takes one second.
func BenchmarkTick(b *testing.B) {
	r := run.Open(run.Options{Samplers: host.Samplers, Host: host.New(observe.DefaultLimit)})
	defer r.Close() //nolint:errcheck // the host is what is measured
	var took []float64
	err := r.Observe(context.Background(), time.Duration(b.N)*run.DefaultInterval, func(s *observe.Snapshot) error {
		took = append(took, time.Since(s.Time).Seconds()*1e3)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	// The first and the last reading read all sources at once; in the first one, every
	// process is also new.
	b.ReportMetric(took[0], "ms/first")
	b.ReportMetric(took[len(took)-1], "ms/last")
	if steady := took[1 : len(took)-1]; len(steady) > 0 {
		slices.Sort(steady)
		b.ReportMetric(steady[len(steady)/2], "ms/median")
		b.ReportMetric(steady[len(steady)-1], "ms/longest")
	}
}
