// SPDX-License-Identifier: Apache-2.0

package host

import (
	ebpfbtf "github.com/cilium/ebpf/btf"

	"github.com/headroom-project/headroom/agent/identity"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/view"
	"github.com/headroom-project/headroom/bpf/self"
)

// cgroupSampler is the name of the sampler that reads the cgroup tree.
const cgroupSampler = "cgroup"

// look records what h cannot observe from where headroom runs. A source that
// reports other processes or cgroups than /proc is not read: its values would be
// assigned to no process, or to the wrong one.
func look(h *sampler.Host, names *identity.Resolver) {
	if files := view.Files(); files != nil {
		h.View.Miss(*files)
	}
	processes := view.Processes(h.Proc)
	if processes != nil {
		h.View.Miss(*processes)
	}
	cgroups := view.Cgroups(h.Cgroup)
	path, misplaced := names.Misplaced(h.Cgroup)
	if misplaced {
		cgroups = view.CgroupGap("headroom's own cgroup is %s for %s, and the tree at %s does not have it there: paths of cgroups are not those of the tree", path, h.Proc, h.Cgroup)
	}
	if cgroups == nil {
		return
	}
	h.View.Miss(*cgroups)
	// A container that sees its own processes and its own cgroup sees a consistent
	// view.
	if misplaced || processes == nil {
		h.View.Distrust(cgroupSampler, sampler.NotSupported(cgroups.Cure, "%s", cgroups.Reason))
	}
}

// agreement returns a check that eBPF and /proc agree about this process. It runs
// once and serves one caller at a time. If they disagree, no collection is opened.
func agreement(h *sampler.Host) func(*ebpfbtf.Cache) error {
	var asked bool
	var refused error
	return func(types *ebpfbtf.Cache) error {
		if asked {
			return refused
		}
		asked = true
		gap, err := view.Agree(h.Proc, func() (self.Answer, error) { return self.Ask(types) })
		if err != nil {
			refused = inWordsOfSamplers(err)
			return refused
		}
		if gap != nil {
			refused = sampler.NotSupported(gap.Cure, "%s", gap.Reason)
			if len(h.View.Unseen()) == 0 { // otherwise it is the same namespace, already reported
				h.View.Miss(*gap)
			}
		}
		return refused
	}
}
