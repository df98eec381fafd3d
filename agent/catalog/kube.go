// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Resource requests of a container. Its limits are those of its cgroup:
// headroom.cgroup.cpu.limit, headroom.cgroup.memory.limit.
var (
	KubeCPURequest    = &Metric{Name: "k8s.container.cpu.request", Unit: Cores, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "CPU request of the container; absent without one."}
	KubeMemoryRequest = &Metric{Name: "k8s.container.memory.request", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "Memory request of the container; absent without one."}
)

var kubeMetrics = []*Metric{KubeCPURequest, KubeMemoryRequest}
