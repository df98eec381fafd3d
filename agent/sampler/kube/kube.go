// SPDX-License-Identifier: Apache-2.0

// Package kube samples what Kubernetes knows about the pods of this host: identity
// updates their names, and the package reads the requests of their containers. It
// sends no network requests: agent/kube watches the pods and answers from memory.
package kube

import (
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "kube"

// every is the time between two reads of the requests, which people change by hand.
const every = 10 * time.Second

// Sampler reads the requests of containers.
var Sampler = &sampler.Sampler{
	Name:     name,
	Doc:      "Reads the names and the resource requests of the pods and containers of this node (Kubernetes API).",
	Provides: []*observe.Metric{catalog.KubeCPURequest, catalog.KubeMemoryRequest},
	Open:     open,
}

type reader struct {
	host *sampler.Host
	next time.Time
}

func open(h *sampler.Host) (sampler.Reader, error) { return &reader{host: h}, nil }

// Read implements sampler.Reader. Outside Kubernetes nothing is missing.
func (r *reader) Read(s *observe.Snapshot) error {
	pods := r.host.Orchestrator
	if pods == nil {
		return nil
	}
	r.host.Identity.Rename() // every second: a late name starts another series
	if now := time.Now(); now.After(r.next) {
		r.next = now.Add(every)
		r.requests(s, pods)
	}
	if reason, cure := pods.Missing(); reason != "" {
		s.Gap(name, reason, cure)
	}
	return nil
}

func (r *reader) requests(s *observe.Snapshot, pods sampler.Orchestrator) {
	for id, container := range r.host.Identity.Containers() {
		cpu, memory, ok := pods.Requests(container)
		if !ok {
			continue
		}
		if cpu > 0 {
			s.Set(catalog.KubeCPURequest, id, cpu)
		}
		if memory > 0 {
			s.Set(catalog.KubeMemoryRequest, id, memory)
		}
	}
}

// Close implements sampler.Reader.
func (r *reader) Close() error { return nil }
