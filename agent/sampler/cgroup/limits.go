// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"path/filepath"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// limits holds the limits set on a cgroup itself, not on its ancestors.
type limits struct {
	quota  bool
	cores  float64
	period float64 // s
	weight field
	cpus   int // 0: all CPUs of the root
}

func (l *limits) write(s *observe.Snapshot, id observe.ID) {
	if l.quota {
		s.Set(catalog.CgroupCPULimit, id, l.cores)
		s.Set(catalog.CgroupCPUPeriod, id, l.period)
	}
	if l.weight.known {
		s.Set(catalog.CgroupCPUWeight, id, l.weight.value)
	}
	if l.cpus > 0 {
		s.Set(catalog.CgroupCPUSetCount, id, float64(l.cpus))
	}
}

func (r *reader) limitsOf(path string) limits {
	var l limits
	dir := filepath.Join(r.tree.main(), path)
	if r.tree.v1() {
		r.limitsV1(dir, &l)
	} else {
		r.limitsV2(dir, &l)
	}
	if count := r.cpusOf(path); count < r.rootCPUs {
		l.cpus = count
	}
	return l
}

func (r *reader) limitsV2(dir string, l *limits) {
	if b, err := r.files.once(dir + "/cpu.max"); err == nil {
		l.set(parseMax(b))
	}
	if n, ok := r.number(dir + "/cpu.weight"); ok {
		l.weight = field{n / defaultWeight, true}
	}
}

// The weight of a cgroup unless it is set (kernel/sched/sched.h).
const (
	defaultWeight = 100  // cgroup v2, CGROUP_WEIGHT_DFL
	defaultShares = 1024 // cgroup v1
)

// limitsV1 reads the quota, which is -1 if there is no limit.
func (r *reader) limitsV1(dir string, l *limits) {
	quota, ok := r.number(dir + "/cpu.cfs_quota_us")
	if ok && quota > 0 {
		if period, ok := r.number(dir + "/cpu.cfs_period_us"); ok && period > 0 {
			l.set(quota, period, true)
		}
	}
	if n, ok := r.number(dir + "/cpu.shares"); ok {
		l.weight = field{n / defaultShares, true}
	}
}

// set takes µs, so that the quotient is rounded only once.
func (l *limits) set(quota, period float64, limited bool) {
	if limited {
		l.quota, l.cores, l.period = true, quota/period, period/1e6
	}
}

func (r *reader) number(path string) (float64, bool) {
	b, err := r.files.once(path)
	if err != nil {
		return 0, false
	}
	n, ok := sampler.Number(b)
	return float64(n), ok
}

// cpusOf returns the number of CPUs that a cgroup may use, 0 if no cpuset limits
// them.
func (r *reader) cpusOf(path string) int {
	name := filepath.Join(r.tree.cpuset, path, "cpuset.effective_cpus")
	if r.tree.cpuset == "" {
		name = filepath.Join(r.tree.unified, path, "cpuset.cpus.effective")
	}
	b, err := r.files.once(name)
	if err != nil {
		return 0
	}
	n, _ := sampler.CountCPUs(b)
	return n
}
