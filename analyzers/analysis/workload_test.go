// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// TestAdviceInTermsOfTheWorkload checks that advice names the field of the manifest
// to change if there is a manifest.
func TestAdviceInTermsOfTheWorkload(t *testing.T) {
	h := handmade.New(t, 1, 2)
	inPod := func(workload string, more ...string) []string {
		return append([]string{catalog.AttrPodUID, "1", catalog.AttrPodName, "shop-7d9c-x", catalog.AttrNamespace, "web", catalog.AttrWorkload, workload}, more...)
	}
	pod := h.Add(observe.Cgroup, "/kubepods/pod1", observe.None, inPod("deployment/shop")...)
	api := h.Add(observe.Cgroup, "/kubepods/pod1/c1", pod, inPod("deployment/shop", catalog.AttrContainerID, "c1", catalog.AttrContainerName, "api")...)
	sandbox := h.Add(observe.Cgroup, "/kubepods/pod1/c0", pod, inPod("deployment/shop", catalog.AttrContainerID, "c0")...)
	agent := h.Add(observe.Cgroup, "/kubepods/pod2/c2", observe.None, inPod("daemonset/agent", catalog.AttrContainerID, "c2", catalog.AttrContainerName, "agent")...)
	docker := h.Add(observe.Cgroup, "/docker/c3", observe.None, catalog.AttrContainerID, "c3", catalog.AttrContainerName, "db")
	server := h.Process("42", "node", "node server.js", api)
	daemon := h.Process("43", "agent", "agent", agent)
	in(h, func(p *analysis.Pass) {
		for _, c := range []struct{ got, want string }{
			{p.RaiseCPULimit(api, 0.2, 1.1), "Raise resources.limits.cpu of container api in deployment/shop (namespace web) from 200m to 1100m"},
			{p.RaiseCPULimit(api, 0.25, 2), "Raise resources.limits.cpu of container api in deployment/shop (namespace web) from 250m to 2"},
			{p.RaiseCPULimit(api, 1, 0), "Raise resources.limits.cpu of container api in deployment/shop (namespace web) from 1"},
			{p.RaiseCPULimit(pod, 0.2, 1.1), "Raise resources.limits.cpu of the containers in deployment/shop (namespace web), added up, from 200m to 1100m"},
			{p.RaiseCPULimit(agent, 0.2, 0.3), "Raise resources.limits.cpu of container agent in daemonset/agent (namespace web) from 200m to 300m"},
			{p.RaiseCPULimit(sandbox, 0.2, 0.3), "Raise the CPU limit of container c0 from 0.2 cores to 0.3 cores"},
			{p.RaiseCPULimit(docker, 0.2, 1), "Raise the CPU limit of container db from 0.2 cores to 1 core"},
			{p.RaiseMemoryLimit(api, 128<<20, 240<<20), "Raise resources.limits.memory of container api in deployment/shop (namespace web) from 128Mi to 240Mi"},
			{p.RaiseMemoryLimit(docker, 128<<20, 240<<20), "Raise the memory limit of container db from 128 MiB to 240 MiB"},
		} {
			if c.got != c.want {
				t.Errorf("got %q, want %q", c.got, c.want)
			}
		}
		if got, ok := p.MoreReplicas(server, 2); !ok || got != "Raise spec.replicas of deployment/shop (namespace web) by 2" {
			t.Errorf("more replicas of a Deployment = %q, %v", got, ok)
		}
		if got, ok := p.MoreReplicas(daemon, 2); ok {
			t.Errorf("more replicas of a DaemonSet = %q, want none: it has one a node", got)
		}
	})
}
