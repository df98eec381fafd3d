// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Fold says how the levels of several entities become that of their series.
type Fold uint8

// The folds.
const (
	Sum Fold = iota
	Highest
	Lowest
)

// folds are the gauges whose sum means nothing: a limit holds for each process
// alone, and so does what is held against it. The rest is added up.
var folds = map[*observe.Metric]Fold{
	catalog.ProcessAge:              Highest,
	catalog.ProcessMemoryPeak:       Highest,
	catalog.ProcessFDs:              Highest,
	catalog.ListenerQueue:           Highest,
	catalog.DiskRotational:          Highest,
	catalog.UpstreamPorts:           Highest,
	catalog.UpstreamTimeWait:        Highest,
	catalog.ProcessHeapLimit:        Lowest,
	catalog.ProcessHeapLimitDefault: Lowest,
	catalog.ProcessFDLimit:          Lowest,
	catalog.ListenerBacklog:         Lowest,
	catalog.UpstreamPortLimit:       Lowest,
}

// FoldOf returns how m is folded.
func FoldOf(m *observe.Metric) Fold {
	if transient(m) {
		return Highest
	}
	return folds[m]
}

func (f Fold) of(a, b float64) float64 {
	switch f {
	case Highest:
		return max(a, b)
	case Lowest:
		return min(a, b)
	default:
		return a + b
	}
}

const (
	// forgetLevel is for how many seconds a level is shown that was not read
	// again: limits are read once a minute.
	forgetLevel = 150
	// forgetTransient is that of what is read each second and is absent when it
	// is over.
	forgetTransient = 3
)

// transient reports that m is absent as soon as it is over: the tick in progress.
func transient(m *observe.Metric) bool {
	return m.About == observe.Loop && strings.HasPrefix(m.Name, currentTick)
}

var currentTick = strings.TrimSuffix(catalog.CurrentTick.Name, "time")

func staleAfter(m *observe.Metric) float64 {
	if transient(m) {
		return forgetTransient
	}
	return forgetLevel
}
