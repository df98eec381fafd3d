// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// RaiseCPULimit returns the text of the recommendation to raise the CPU limit of a
// cgroup, in cores. For a container of a workload it names the field of the
// manifest. to is 0 if it is not known.
func (p *Pass) RaiseCPULimit(cgroup observe.ID, from, to float64) string {
	if field, ok := p.limitField(cgroup, "cpu"); ok {
		return change(field, milliCPU(from), milliCPU(to), to)
	}
	return change("the CPU limit of "+p.Name(cgroup), Cores(from), Cores(to), to)
}

// RaiseMemoryLimit is RaiseCPULimit for memory, in bytes.
func (p *Pass) RaiseMemoryLimit(cgroup observe.ID, from, to float64) string {
	if field, ok := p.limitField(cgroup, "memory"); ok {
		return change(field, mebibytes(from), mebibytes(to), to)
	}
	return change("the memory limit of "+p.Name(cgroup), Bytes(from), Bytes(to), to)
}

func change(what, from, to string, known float64) string {
	if known <= 0 {
		return fmt.Sprintf("Raise %s from %s", what, from)
	}
	return fmt.Sprintf("Raise %s from %s to %s", what, from, to)
}

// limitField returns the field of the manifest that sets a cgroup's limit. The
// limit of a pod's cgroup is the sum of those of its containers.
func (p *Pass) limitField(cgroup observe.ID, resource string) (string, bool) {
	workload, ok := p.workload(cgroup)
	container := p.Attr(cgroup, catalog.AttrContainerName)
	switch {
	case !ok:
		return "", false
	case container != "":
		return fmt.Sprintf("resources.limits.%s of container %s in %s", resource, container, workload), true
	case p.Attr(cgroup, catalog.AttrContainerID) == "":
		return fmt.Sprintf("resources.limits.%s of the containers in %s, added up,", resource, workload), true
	}
	return "", false
}

// workload returns the workload of a cgroup's pod: deployment/shop (namespace web).
// ok is false if it is not known.
func (p *Pass) workload(cgroup observe.ID) (name string, ok bool) {
	name = p.Attr(cgroup, catalog.AttrWorkload)
	return fmt.Sprintf("%s (namespace %s)", name, p.Attr(cgroup, catalog.AttrNamespace)), name != ""
}

// replicated are the workloads whose number of pods is spec.replicas.
var replicated = []string{"deployment/", "statefulset/", "replicaset/", "replicationcontroller/"}

// Replicated returns the workload of id's pod, if it has replicas.
func (p *Pass) Replicated(id observe.ID) (workload string, ok bool) {
	cgroup, ok := p.Index.Ancestor(id, observe.Cgroup)
	if !ok {
		return "", false
	}
	workload, _ = p.workload(cgroup)
	for _, kind := range replicated {
		if strings.HasPrefix(workload, kind) {
			return workload, true
		}
	}
	return "", false
}

// MoreReplicas returns the text of the recommendation to run id's program n times
// more, if its workload has replicas; ok is false otherwise.
func (p *Pass) MoreReplicas(id observe.ID, n float64) (action string, ok bool) {
	workload, ok := p.Replicated(id)
	return fmt.Sprintf("Raise spec.replicas of %s by %.0f", workload, n), ok
}

// milliCPU and mebibytes format quantities as in manifests: 200m, 2, 512Mi.
func milliCPU(cores float64) string {
	milli := math.Ceil(math.Round(cores*1e6) / 1e3)
	if math.Mod(milli, 1000) == 0 {
		return fmt.Sprintf("%.0f", milli/1000)
	}
	return fmt.Sprintf("%.0fm", milli)
}

func mebibytes(bytes float64) string {
	const mebibyte = 1 << 20
	return fmt.Sprintf("%.0fMi", math.Ceil(bytes/mebibyte))
}
