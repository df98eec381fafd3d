// SPDX-License-Identifier: Apache-2.0

// Package kube knows the pods of this node. It watches them at the API server, or
// asks the kubelet if the API server does not answer, and returns the names of a
// cgroup's pod and container from memory. It asks for this node's pods only, keeps
// names and requests, and changes nothing.
package kube

import (
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/headroom-project/headroom/agent/sampler"
)

var _ sampler.Orchestrator = (*Pods)(nil)

const (
	// maxPods is the maximum number of pods kept: a kubelet runs 110 by default, 500
	// at most in practice.
	maxPods = 1000
	// maxGone is the number of deleted pods whose names are kept for the seconds until
	// their cgroups are removed.
	maxGone = 100
)

// Pods holds the pods of a node. Only the goroutine of Watch writes to it.
type Pods struct {
	mu         sync.RWMutex
	version    uint64
	pods       map[string]*pod // by UID in cgroup paths
	containers map[string]*container
	gone       []string // UIDs, oldest first
	refused    int

	// reason and cure say why the pods could not be listed from the API server, and
	// how to fix it. logged is set once that was logged, empty while the node has no
	// pods. stoodIn is when the kubelet listed them instead.
	reason, cure  string
	logged, empty bool
	stoodIn       time.Time
	listed        chan struct{}
}

func newPods() *Pods {
	return &Pods{
		pods: make(map[string]*pod), containers: make(map[string]*container), listed: make(chan struct{}),
		reason: "the API server has not answered yet",
	}
}

// Version implements sampler.Orchestrator.
func (p *Pods) Version() uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.version
}

// Pod implements sampler.Orchestrator.
func (p *Pods) Pod(uid string) map[string]string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if known := p.pods[uid]; known != nil {
		return known.attrs
	}
	return nil
}

// Container implements sampler.Orchestrator.
func (p *Pods) Container(id string) map[string]string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if known := p.containers[id]; known != nil {
		return known.attrs
	}
	return nil
}

// Requests implements sampler.Orchestrator.
func (p *Pods) Requests(id string) (cpu, memory float64, ok bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if known := p.containers[id]; known != nil {
		return known.cpu, known.memory, true
	}
	return 0, 0, false
}

// Missing implements sampler.Orchestrator.
func (p *Pods) Missing() (reason, cure string) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	arrived := p.empty && len(p.pods) > len(p.gone)
	if p.reason == "" || arrived || time.Since(p.stoodIn) < 2*kubeletEvery {
		return "", ""
	}
	return "pod names are missing or outdated: " + p.reason, p.cure
}

// Listed returns a channel that is closed when the pods are known for the first
// time.
func (p *Pods) Listed() <-chan struct{} { return p.listed }

// list records that the pods are known. The caller holds the lock.
func (p *Pods) list() {
	select {
	case <-p.listed:
	default:
		close(p.listed)
	}
}

// UID returns the API's UID of a pod, "" if the pod is not known.
func (p *Pods) UID(namespace, name string) string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, known := range p.pods {
		if known.name == name && known.namespace == namespace && !p.isGone(known.cgroup) {
			return known.uid
		}
	}
	return ""
}

// Count returns the number of pods known, and the number not added because the
// limit was reached.
func (p *Pods) Count() (known, refused int) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.pods) - len(p.gone), p.refused
}

// put adds or replaces a pod. The caller holds the lock.
func (p *Pods) put(now *pod) {
	was := p.pods[now.cgroup]
	if was != nil && !now.same(was) && now.claims() && !p.isGone(now.cgroup) {
		return
	}
	if was == nil && len(p.pods)-len(p.gone) >= maxPods {
		p.refused++
		return
	}
	if was != nil && now.same(was) && !now.claims() {
		now.uid = was.uid // the kubelet does not know the API's UID of a static pod
	}
	p.revive(now.cgroup)
	if reflect.DeepEqual(was, now) {
		return
	}
	p.drop(was)
	p.pods[now.cgroup] = now
	for i := range now.containers {
		p.containers[now.containers[i].id] = &now.containers[i]
	}
	p.version++
}

func (p *Pods) drop(was *pod) {
	if was == nil {
		return
	}
	delete(p.pods, was.cgroup)
	for _, c := range was.containers {
		delete(p.containers, c.id)
	}
}

// remove records that a pod was deleted, unless its cgroup belongs to another one.
// The caller holds the lock.
func (p *Pods) remove(deleted *pod) {
	if known := p.pods[deleted.cgroup]; known != nil && known.same(deleted) {
		p.leave(deleted.cgroup)
	}
}

// leave records that the pod of a cgroup is gone. The caller holds the lock.
func (p *Pods) leave(cgroup string) {
	if p.pods[cgroup] == nil || p.isGone(cgroup) {
		return
	}
	p.gone = append(p.gone, cgroup)
	if len(p.gone) > maxGone {
		p.drop(p.pods[p.gone[0]])
		p.gone = p.gone[1:]
	}
}

func (p *Pods) isGone(cgroup string) bool { return slices.Contains(p.gone, cgroup) }

// revive undoes leave: the API server can drop a static pod and show it again.
func (p *Pods) revive(cgroup string) {
	p.gone = slices.DeleteFunc(p.gone, func(uid string) bool { return uid == cgroup })
}

// replace replaces all pods.
func (p *Pods) replace(all []*pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := make(map[string]bool, len(all))
	for _, one := range all {
		p.put(one)
		now[one.cgroup] = true
	}
	for cgroup := range p.pods {
		if !now[cgroup] {
			p.leave(cgroup)
		}
	}
}
