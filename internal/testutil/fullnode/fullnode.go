// SPDX-License-Identifier: Apache-2.0

// Package fullnode generates windows of a node at the limits that headroom is
// built for, to measure and test exporters and dashboards. The values are
// arbitrary; every metric has some.
package fullnode

import (
	"fmt"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Node has 1,000 processes in 100 containers and 10 other cgroups, event loops
// in one or two processes of each container, a listener and a client of a database in
// each container, a Redis, 16
// CPUs, 8 disks and 20 interfaces. Every metric has a value for each entity of its
// kind, except metrics that need a fault or a setting: a tenth of the entities has
// these.
type Node struct {
	x   *observe.Index
	ids map[observe.EntityKind][]observe.ID
	d   *observe.Differ
	s   *observe.Snapshot
	n   int
}

const (
	nodeContainers = 100
	nodeCgroups    = 110
	nodeProcesses  = 1000
	nodeLoops      = 200
)

// New returns a Node. Step returns its first window.
func New() *Node {
	x := observe.NewIndex(observe.DefaultLimit)
	n := &Node{x: x, d: observe.NewDiffer(x), s: observe.NewSnapshot(x), ids: make(map[observe.EntityKind][]observe.ID)}
	top := n.add(observe.Node, catalog.NodeID, observe.Entity{}, nil)
	for kind, count := range map[observe.EntityKind]int{observe.CPU: 16, observe.Disk: 8, observe.NIC: 20, observe.Filesystem: 20, observe.Upstream: 20, observe.Queue: 20} {
		for i := range count {
			n.add(kind, fmt.Sprint(kind, i), x.Entity(top), nil)
		}
	}
	for i := range nodeCgroups {
		n.cgroup(i)
	}
	for i := range nodeProcesses {
		n.process(i)
	}
	return n
}

func (n *Node) add(kind observe.EntityKind, id string, parent observe.Entity, attrs map[string]string) observe.ID {
	e := n.x.ID(observe.Entity{Kind: kind, ID: id})
	n.x.Describe(e, observe.Info{Parent: parent, Attrs: attrs})
	n.ids[kind] = append(n.ids[kind], e)
	return e
}

func (n *Node) cgroup(i int) {
	path := fmt.Sprintf("/kubepods/pod%d/%d", i, i)
	attrs := map[string]string{catalog.AttrCgroup: path}
	if i < nodeContainers {
		attrs[catalog.AttrContainerID] = fmt.Sprintf("%064d", i)
		attrs[catalog.AttrContainerName] = "api"
		attrs[catalog.AttrPodName] = fmt.Sprintf("shop-%d", i)
		attrs[catalog.AttrNamespace] = "shop"
	}
	n.add(observe.Cgroup, path, observe.Entity{Kind: observe.Node, ID: catalog.NodeID}, attrs)
}

func (n *Node) process(i int) {
	cgroup := n.x.Entity(n.ids[observe.Cgroup][i%nodeCgroups])
	id := fmt.Sprintf("%d:1", i+1)
	p := n.add(observe.Process, id, cgroup, map[string]string{catalog.AttrPID: fmt.Sprint(i + 1), catalog.AttrExecutable: "node"})
	if i < nodeLoops && i%nodeCgroups < nodeContainers {
		n.add(observe.Loop, id+"/1", n.x.Entity(p), nil)
	}
	if i == 0 {
		n.add(observe.Cache, id, n.x.Entity(p), nil)
	}
	if i < nodeContainers {
		n.add(observe.Client, id+"/10.0.0.9:5432", n.x.Entity(p), map[string]string{catalog.AttrDatabase: "postgresql", catalog.AttrDestination: "10.0.0.9", catalog.AttrDestPort: "5432"})
		n.add(observe.Listener, fmt.Sprint("socket", i), n.x.Entity(p), map[string]string{catalog.AttrAddress: "0.0.0.0", catalog.AttrPort: "8080"})
	}
}

// rare are the metrics that only a tenth of the entities has.
var rare = map[*observe.Metric]bool{
	catalog.WaitedFor: true, catalog.LongBlockedBy: true, catalog.LongBlockedOn: true, catalog.LoopBlockedOn: true, catalog.OOMLimit: true, catalog.ProcessOOMKills: true,
	catalog.ProcessFDRefused: true, catalog.CgroupCPUSetCount: true, catalog.CgroupMemoryHigh: true,
}

// ofContainers are the metrics that only cgroups of containers have.
var ofContainers = map[*observe.Metric]bool{catalog.KubeCPURequest: true, catalog.KubeMemoryRequest: true}

// Step returns the window of the next second. It is valid until the next Step.
func (n *Node) Step() *observe.Window {
	n.s.Reset()
	n.n++
	v := float64(n.n)
	n.s.Time = time.Unix(int64(n.n), 0)
	n.s.Monotonic, n.s.BootTime = time.Duration(n.n)*time.Second, time.Duration(n.n)*time.Second
	for _, m := range catalog.All() {
		ids := n.ids[m.About]
		for i, id := range ids {
			if rare[m] && i%10 > 0 || ofContainers[m] && i >= nodeContainers {
				continue
			}
			switch m.Kind {
			case observe.Histogram:
				h := n.s.Hist(m, id)
				for b := range h.Count {
					h.Count[b], h.Sum[b] = v*float64(b%3), v
				}
			case observe.PairCounter:
				n.s.SetPair(m, id, ids[(i+1)%len(ids)], v)
			default:
				n.s.Set(m, id, v)
			}
		}
	}
	return n.d.Step(n.s)
}
