// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// TestDeepCgroups checks that a process in a deeply nested cgroup belongs to its
// ancestor at the maximum observed depth, and is still on the node.
func TestDeepCgroups(t *testing.T) {
	r := New("testdata/proc", "", observe.NewIndex(1000))
	deep := r.Cgroup(strings.Repeat("/d", 200))
	if at := r.Cgroup(strings.Repeat("/d", sampler.CgroupDepth)); at != deep {
		t.Errorf("cgroup = %q, want that at depth %d", r.index.Entity(deep).ID, sampler.CgroupDepth)
	}
	if node, ok := r.index.Ancestor(deep, observe.Node); !ok || r.index.Entity(node).ID != catalog.NodeID {
		t.Error("a deep cgroup is on no node")
	}
}

// TestHostileCgroupNames checks that different names stay different, and that no name
// contains sequences that a terminal interprets.
func TestHostileCgroupNames(t *testing.T) {
	r := New("testdata/proc", "", observe.NewIndex(1000))
	seen := make(map[observe.ID]string)
	for _, name := range []string{"/a\x1b[31m", "/a\x1c[31m", "/a\xff", "/a\xfe", "/a\x7f", "/a", "/a (deleted)", "/a\u202e", "/a\u2028", "/ä"} {
		id := r.Cgroup(name)
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q are one cgroup", name, other)
		}
		seen[id] = name
		if got := r.index.Entity(id).ID; !plainOrUTF8(got) || strings.ContainsAny(got, "\u202e\u2028\x7f") {
			t.Errorf("%q is shown as %q", name, got)
		}
	}
	if got := cgroupOf([]byte("0::/a (deleted)\n"), ""); got != "/a" {
		t.Errorf("a removed cgroup = %q, want /a", got)
	}
}

func plainOrUTF8(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsAny(s, "\n\r\t\x00\x1b")
}
