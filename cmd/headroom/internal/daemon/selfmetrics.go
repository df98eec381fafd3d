// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	exportprom "github.com/headroom-project/headroom/agent/export/prom"
	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/serve"
	findingsprom "github.com/headroom-project/headroom/analyzers/publish/prom"
	"github.com/headroom-project/headroom/bpf/support"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// metrics serves the metrics of services, findings and the agent.
func (w *watcher) metrics() http.Handler {
	services := prometheus.NewRegistry()
	services.MustRegister(exportprom.NewCollector(w.ledger))
	return promhttp.HandlerFor(prometheus.Gatherers{services, w.own}, promhttp.HandlerOpts{EnableOpenMetrics: true, DisableCompression: true}) // the server compresses
}

// registerOwn registers the metrics of findings and of the agent.
func (w *watcher) registerOwn() {
	w.own.MustRegister(
		findingsprom.NewCollector(w.Report),
		self.NewCollector(w.state),
		w.keeper,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
	)
}

// state returns the values of the agent's metrics.
func (w *watcher) state() self.State {
	w.mu.RLock()
	defer w.mu.RUnlock()
	s := w.self
	var http serve.Stats
	if w.http != nil {
		http = w.http.Stats()
	}
	return self.State{
		HTTP:     http,
		Samplers: s.samplers, Memory: w.memory.State(), Probes: s.probes, Entities: s.entities, Refused: s.refused, Crowded: s.crowded,
		Judgements: s.looks, LastJudgement: s.lookTook, Standstills: s.standstills, ConfigGood: !w.refused, Version: host.Version(),
	}
}

// costly is a probe that reports the cost and the losses of its programs.
type costly interface {
	Usage() []support.Usage
	Losses() map[string]uint64
}

// probeCosts reads the cost of each open probe from the kernel.
func probeCosts(probes *sampler.Probes) []self.Probe {
	var all []self.Probe
	for name, opened := range probes.Opened() {
		c, ok := opened.(costly)
		if !ok {
			continue
		}
		p := self.Probe{Name: name, Losses: c.Losses()}
		for _, u := range c.Usage() {
			p.Programs = append(p.Programs, self.Program(u))
		}
		all = append(all, p)
	}
	return all
}
