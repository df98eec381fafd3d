// SPDX-License-Identifier: Apache-2.0

// Package all lists the samplers. A new one is one folder and one line here.
package all

import (
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/cgroup"
	"github.com/headroom-project/headroom/agent/sampler/conntrack"
	"github.com/headroom-project/headroom/agent/sampler/cpu"
	"github.com/headroom-project/headroom/agent/sampler/disk"
	"github.com/headroom-project/headroom/agent/sampler/fd"
	"github.com/headroom-project/headroom/agent/sampler/filesystem"
	"github.com/headroom-project/headroom/agent/sampler/frames"
	"github.com/headroom-project/headroom/agent/sampler/heap"
	"github.com/headroom-project/headroom/agent/sampler/kube"
	"github.com/headroom-project/headroom/agent/sampler/limits"
	"github.com/headroom-project/headroom/agent/sampler/loop"
	"github.com/headroom-project/headroom/agent/sampler/memory"
	"github.com/headroom-project/headroom/agent/sampler/netstat"
	"github.com/headroom-project/headroom/agent/sampler/nic"
	"github.com/headroom-project/headroom/agent/sampler/oom"
	"github.com/headroom-project/headroom/agent/sampler/ports"
	"github.com/headroom-project/headroom/agent/sampler/proc"
	"github.com/headroom-project/headroom/agent/sampler/psi"
	"github.com/headroom-project/headroom/agent/sampler/queue"
	"github.com/headroom-project/headroom/agent/sampler/redis"
	"github.com/headroom-project/headroom/agent/sampler/rediskeys"
	"github.com/headroom-project/headroom/agent/sampler/requests"
	"github.com/headroom-project/headroom/agent/sampler/runqueue"
	"github.com/headroom-project/headroom/agent/sampler/upstreams"
)

// Samplers are all that headroom reads, in the order in which it reads them:
// processes first, so that probes find them described.
var Samplers = []*sampler.Sampler{
	proc.Sampler,
	kube.Sampler,
	fd.Sampler,
	cpu.Sampler,
	memory.Sampler,
	disk.Sampler,
	filesystem.Sampler,
	psi.Sampler,
	cgroup.Sampler,
	heap.Sampler,
	loop.Sampler,
	frames.Sampler,
	runqueue.Sampler,
	requests.Sampler,
	rediskeys.Sampler,
	upstreams.Sampler,
	oom.Sampler,
	nic.Sampler,
	netstat.Sampler,
	conntrack.Sampler,
	limits.Sampler,
	ports.Sampler,
	queue.Sampler,
	redis.Sampler,
}
