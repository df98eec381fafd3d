// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/files"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/store"
)

// status holds the keeper's metrics and its last error.
type status struct {
	on       bool
	trouble  error // why the last save failed; nil if it succeeded
	failures int
	saved    time.Time
}

func (k *Keeper) set(change func(*status)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.status)
}

func (k *Keeper) now() status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// failed logs an error, unless it is the one logged last.
func (k *Keeper) failed(err error) {
	first := false
	k.set(func(s *status) {
		first = s.trouble == nil || s.trouble.Error() != err.Error()
		s.trouble = err
		s.failures++
	})
	if first {
		k.Log.Error("cannot save state: continuing in memory and retrying", "path", k.dir, "err", err, "cure", cureOf(err))
	}
}

func (k *Keeper) succeeded() {
	was := error(nil)
	k.set(func(s *status) { was, s.trouble, s.saved = s.trouble, nil, time.Now() })
	if was != nil {
		k.Log.Info("saving state works again", "path", k.dir)
	}
}

func cureOf(err error) string {
	switch {
	case errors.Is(err, store.ErrInUse):
		return "give this agent a directory of its own, or end the other one"
	case errors.Is(err, files.ErrUnsafe):
		return "use a directory that only the user of the agent can change, such as /var/lib/headroom"
	case errors.Is(err, fs.ErrPermission):
		return "let the user of the agent write there"
	case errors.Is(err, fs.ErrNotExist):
		return "make the directory"
	}
	return "make room on the disk, or mount it for writing"
}

// GapSource is the source of the gaps of a Keeper.
const GapSource = "storage"

// Gaps returns a gap if the state is not saved: a restart would lose it.
func (k *Keeper) Gaps() []observe.Gap {
	s := k.now()
	if s.trouble == nil {
		return nil
	}
	return []observe.Gap{{Source: GapSource, Reason: fmt.Sprintf("what the agent remembers is not kept: %v", s.trouble), Cure: cureOf(s.trouble)}}
}

// Series about the saved state.
var (
	historySeries  = prometheus.NewDesc("headroom_history_series", "Number of time series in the history: gauges of processes, containers and other entities.", nil, nil)
	historyBytes   = prometheus.NewDesc(self.HistoryBytes, "Memory used by the history, in bytes.", nil, nil)
	historyReach   = prometheus.NewDesc(self.HistoryReach, "Retention of the history, as a share of its maximum: ten minutes at 1 s, six hours at 10 s and seven days at 1 min.", nil, nil)
	historyRefused = prometheus.NewDesc("headroom_history_refused_total", "Number of readings that were dropped because the limit of series was reached.", nil, nil)
	storageGood    = prometheus.NewDesc(self.StorageGood, "1 if the last save of the state succeeded, 0 if not. Absent without a storage path.", nil, nil)
	storageSaved   = prometheus.NewDesc("headroom_storage_last_save_timestamp_seconds", "Unix time of the last save of the state that succeeded, in seconds.", nil, nil)
	storageFailed  = prometheus.NewDesc("headroom_storage_failures_total", "Number of attempts to save the state that failed.", nil, nil)
)

// Describe implements prometheus.Collector.
func (k *Keeper) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(k, ch) }

// Collect implements prometheus.Collector.
func (k *Keeper) Collect(ch chan<- prometheus.Metric) {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(d, kind, v)
	}
	h := k.History.Stats()
	send(historySeries, gauge, float64(h.Series))
	send(historyBytes, gauge, float64(h.Bytes))
	send(historyReach, gauge, h.Reach)
	send(historyRefused, counter, float64(h.Refused))
	s := k.now()
	if !s.on {
		return
	}
	send(storageGood, gauge, self.Bool(s.trouble == nil && !s.saved.IsZero()))
	send(storageFailed, counter, float64(s.failures))
	if !s.saved.IsZero() {
		send(storageSaved, gauge, float64(s.saved.Unix()))
	}
}
