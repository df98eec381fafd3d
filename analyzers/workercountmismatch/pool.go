// SPDX-License-Identifier: Apache-2.0

package workercountmismatch

import (
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A pool is a set of worker processes.
type pool struct{ *facts.Pool }

func (w *pool) subject(p *facts.Pass) observe.ID {
	return p.Group(w.Processes())
}

// use is the cores that the pool used.
func (w *pool) use(p *facts.Pass) float64 {
	use := 0.0
	for _, process := range w.Processes() {
		rate, _ := p.Rate(catalog.ProcessCPU, process)
		use += rate
	}
	return use
}

// waiting returns the share of their waiting and running time in which the workers
// were runnable without a CPU, because none was free or their quota was used up.
func (w *pool) waiting(p *facts.Pass) float64 {
	wait, run := 0.0, w.use(p)
	for _, process := range w.Processes() {
		rate, _ := p.Rate(catalog.ProcessRunQueue, process)
		wait += rate
	}
	if wait+run <= 0 {
		return 0
	}
	return wait / (wait + run)
}

// room returns how many more workers, each with the planned utilisation, fit into
// the CPUs and the quota.
func (w *pool) room(p *facts.Pass) float64 {
	idle, ok := p.UsableIdle(w.Workers[0].Process)
	if !ok {
		return 0
	}
	return math.Floor(idle / p.Param(planned))
}

// late reports whether requests wait at the worst worker.
func (w *pool) late(p *facts.Pass) bool {
	for _, l := range w.Workers {
		lags := capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
		if lags.Mean(l.Seconds) > p.Param(lateMean) || lags.Quantile(l.Seconds, 0.99) > p.Param(lateP99) {
			return true
		}
	}
	return false
}

// impact is the capacity that is missing for the planned share; a tenth of it if no
// request is late, so that it ranks below findings that delay requests.
func (w *pool) impact(p *facts.Pass, severity analysis.Severity) float64 {
	missing := max(0, 1-p.Param(planned)/max(w.Busy(), p.Param(planned)))
	if severity < analysis.Warning {
		return missing / 10
	}
	return missing
}
