// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/headroom-project/headroom/agent/catalog"
)

// A pod holds the parts of a Pod that are kept.
type pod struct {
	namespace, name string
	// uid is the UID in the API. cgroup is the UID in cgroup paths, which differs for
	// a static pod.
	uid, cgroup string
	attrs       map[string]string
	containers  []container
}

// same reports whether q is the same pod by name: a static pod has two UIDs.
func (p *pod) same(q *pod) bool { return p.name == q.name && p.namespace == q.namespace }

// claims reports whether an annotation of the pod claims a cgroup of another UID.
// The kubelet sets it for static pods, but any user who can create a pod can set it
// as well.
func (p *pod) claims() bool { return p.uid != p.cgroup }

type container struct {
	id          string // without the name of the container engine
	attrs       map[string]string
	cpu, memory float64 // requests; 0 for none
}

// staticUID is the annotation with the UID that the kubelet gave to a static pod;
// the API server gives it another one.
const staticUID = "kubernetes.io/config.mirror"

// trim copies the needed parts of a Pod, so that the rest can be freed.
func trim(p *Pod) *pod {
	kind, workload := workloadOf(&p.ObjectMeta)
	kept := &pod{
		namespace: strings.Clone(p.Namespace), name: strings.Clone(p.Name),
		uid: strings.Clone(string(p.UID)), cgroup: strings.Clone(string(p.UID)),
	}
	if uid := p.Annotations[staticUID]; uid != "" {
		kept.cgroup = strings.Clone(uid)
	}
	kept.attrs = map[string]string{
		catalog.AttrNamespace: kept.namespace,
		catalog.AttrPodName:   kept.name,
		catalog.AttrWorkload:  strings.ToLower(kind) + "/" + workload,
	}
	if key := attributes[kind]; key != "" {
		kept.attrs[key] = strings.Clone(workload)
	}
	kept.containers = containersOf(p)
	return kept
}

// containersOf returns the containers that run, or ran last: a container that was
// not created yet has no ID.
func containersOf(p *Pod) []container {
	requests := make(map[string]map[string]resource.Quantity)
	for _, specs := range [][]Container{p.Spec.Containers, p.Spec.InitContainers} {
		for _, c := range specs {
			requests[c.Name] = c.Resources.Requests
		}
	}
	var all []container
	for _, states := range [][]ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for _, s := range states {
			_, id, ok := strings.Cut(s.ContainerID, "://") // containerd://8f6a…
			if !ok || id == "" {
				continue
			}
			all = append(all, container{
				id:     strings.Clone(id),
				attrs:  map[string]string{catalog.AttrContainerName: strings.Clone(s.Name)},
				cpu:    quantity(requests[s.Name], "cpu"),
				memory: quantity(requests[s.Name], "memory"),
			})
		}
	}
	return all
}

func quantity(all map[string]resource.Quantity, name string) float64 {
	q, ok := all[name]
	if !ok {
		return 0
	}
	return q.AsApproximateFloat64()
}
