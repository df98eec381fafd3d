// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// TestPids checks that a limit is read where it is set, and refused processes where the
// kernel counts them: in the container that asked, even if the limit is that of its pod.
func TestPids(t *testing.T) {
	const absent = -1
	for _, tt := range []struct {
		tree, path             string
		limit, count, refusals float64
	}{
		{"testdata/v2", pods, 100, 81, 3},
		{"testdata/v2", pods + "/cri-containerd-" + id + ".scope", absent, absent, 9},
		{"testdata/v2", "/system.slice/nginx.service", absent, absent, absent},
		{"testdata/hybrid", "/docker/" + id, 64, 64, 7},
	} {
		h := host("testdata/none", tt.tree)
		s := snapshot(t, opened(t, h), h)
		group, ok := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: tt.path})
		if !ok {
			t.Fatalf("%s was not found", tt.path)
		}
		for m, want := range map[*observe.Metric]float64{catalog.CgroupPidsLimit: tt.limit, catalog.CgroupPids: tt.count, catalog.CgroupPidsRefused: tt.refusals} {
			got, ok := s.Value(m, group)
			if !ok {
				got = absent
			}
			if got != want {
				t.Errorf("%s of %s = %v, want %v", m.Key(), tt.path, got, want)
			}
		}
	}
}
