// SPDX-License-Identifier: Apache-2.0

package queuebacklog

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// workers are the processes that consume from a queue. Without them a consumer stands
// for a worker.
type workers struct {
	ids []observe.ID
	// replicas is the number of pods, and workload what sets it; 0 and "" outside
	// Kubernetes.
	replicas float64
	workload string
	name     string  // of the program
	cpu      float64 // cores that each uses, on average
}

// employ finds the workers of the queue, if their number did not change in the readings
// that count.
func (q *queue) employ(p *facts.Pass) {
	n := last(p.Points(catalog.QueueWorkers, q.id), q.current())
	if len(n) == 0 || n[0] != n[len(n)-1] {
		return
	}
	peers := p.Peers(catalog.QueueWorkerTime, q.id)
	if float64(len(peers)) < n[0] {
		return
	}
	w := &workers{}
	pods := make(map[string]bool)
	for _, peer := range peers[:int(n[0])] {
		w.ids = append(w.ids, peer.ID)
		use, _ := p.Rate(catalog.ProcessCPU, peer.ID)
		w.cpu += use / n[0]
		if pod := p.Index.Inherited(peer.ID, catalog.AttrPodUID); pod != "" {
			pods[pod] = true
		}
	}
	w.name = p.Command(w.ids[0])
	if workload, ok := p.Replicated(w.ids[0]); ok && len(pods) > 0 {
		w.workload, w.replicas = workload, float64(len(pods))
	}
	q.workers = w
}

// servers is the number of workers: what has to be added. A process may have many
// consumers.
func (q *queue) servers() float64 {
	if q.workers == nil {
		return q.consumers
	}
	return float64(len(q.workers.ids))
}

// unit is what servers counts, in singular and plural.
func (q *queue) unit() (one, many string) {
	switch {
	case q.workers == nil:
		return "consumer", "consumers"
	case q.workers.replicas > 0:
		return "replica", "replicas"
	}
	return "process", "processes"
}

// units converts a number of workers to what is set: each pod has as many processes as
// now.
func (q *queue) units(servers float64) float64 {
	if q.workers == nil || q.workers.replicas == 0 {
		return servers
	}
	return math.Ceil(servers*q.workers.replicas/float64(len(q.workers.ids)) - 1e-9)
}

// change says to run more workers.
func (q *queue) change(to float64) string {
	from := q.units(q.servers())
	switch {
	case q.workers == nil:
		return fmt.Sprintf("Add consumers to %s: %.0f → %.0f", q.name, from, to)
	case q.workers.replicas > 0:
		return fmt.Sprintf("Raise spec.replicas of %s from %.0f to %.0f", q.workers.workload, from, to)
	}
	text := fmt.Sprintf("Run more processes of %s, which consume from %s: %.0f → %.0f", q.workers.name, q.name, from, to)
	if each := q.consumers / q.servers(); each >= 2 {
		text += fmt.Sprintf(" (with %.0f consumers each)", each)
	}
	return text
}
