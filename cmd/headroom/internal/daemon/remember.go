// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/publish/past"
	"github.com/headroom-project/headroom/analyzers/state"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// remember gives the watcher its memory. The machine has run for so long.
func (w *watcher) remember(x *observe.Index, uptime time.Duration) {
	w.history = history.New(history.Options{
		Index: x, Boot: host.BootID(), Wall: time.Now(), Since: uptime, Budget: int(w.rules.Config.Storage.History),
	})
	past := past.New(w.history.Now)
	w.sinks = append(w.sinks, past)
	w.keeper = &keeper{log: w.log, history: w.history, past: past}
}

// recall resuming findings saved before the restart, if nothing was judged
// yet. What fired too long ago has ended meanwhile, when nobody looked.
func (w *watcher) recall() {
	k := w.keeper
	k.mu.Lock()
	found := k.found
	k.found = nil
	k.mu.Unlock()
	if found == nil {
		return
	}
	away := time.Duration(w.history.Now()-found.Clock) * time.Second
	if away <= resume && w.self.looks == 0 {
		w.tracker.Restore(found.lives)
		w.log.Info("resuming findings saved before the restart", "findings", len(found.lives.Entries), "away", away)
	}
	k.past.Settle(func(key string) bool {
		s, ok := w.tracker.Status(key)
		return ok && s.State == state.Firing
	}, found.Wall)
}

// keep hands the state of the findings to the keeper. What is pending is not kept.
func (w *watcher) keep(changes []state.Change) {
	lives := w.tracker.Save()
	fires := func(c state.Change) bool { return c.From == state.Firing || c.To == state.Firing }
	k := w.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saving = &lives
	k.changed = k.changed || slices.ContainsFunc(changes, fires)
}

// Episodes implements web.Past.
func (w *watcher) Episodes(since time.Time) []past.Episode { return w.keeper.past.Episodes(since) }

// The series about what the agent remembers.
var (
	historySeries  = prometheus.NewDesc("headroom_history_series", "Gauges of processes, containers and others whose levels are remembered.", nil, nil)
	historyBytes   = prometheus.NewDesc(self.HistoryBytes, "Memory that they take.", nil, nil)
	historyReach   = prometheus.NewDesc(self.HistoryReach, "How far back they go, as a share of ten minutes of seconds, six hours of tens of seconds and seven days of minutes.", nil, nil)
	historyRefused = prometheus.NewDesc("headroom_history_refused_total", "Readings of entities that found no room.", nil, nil)
	storageGood    = prometheus.NewDesc(self.StorageGood, "1 when what is remembered is on the disk; absent without a storage path.", nil, nil)
	storageSaved   = prometheus.NewDesc("headroom_storage_last_save_timestamp_seconds", "When it was saved last.", nil, nil)
	storageFailed  = prometheus.NewDesc("headroom_storage_failures_total", "Attempts to save it that failed.", nil, nil)
)

type memoryCollector struct{ w *watcher }

// Describe implements prometheus.Collector.
func (c memoryCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c memoryCollector) Collect(ch chan<- prometheus.Metric) {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(d, kind, v)
	}
	h := c.w.history.Stats()
	send(historySeries, gauge, float64(h.Series))
	send(historyBytes, gauge, float64(h.Bytes))
	send(historyReach, gauge, h.Reach)
	send(historyRefused, counter, float64(h.Refused))
	s := c.w.keeper.now()
	if !s.on {
		return
	}
	send(storageGood, gauge, one(s.trouble == nil && !s.saved.IsZero()))
	send(storageFailed, counter, float64(s.failures))
	if !s.saved.IsZero() {
		send(storageSaved, gauge, float64(s.saved.Unix()))
	}
}
