// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/cgroups"
)

// A crowded tree has more cgroups of one tenant than the limit allows, and a cgroup of
// another tenant that sorts after them and is nested deeper.
const (
	crowded = "/kubepods/a/c"
	victim  = "/kubepods/z/c/d/e/f"
)

func crowdedTree(t *testing.T, n int, file string) (*sampler.Host, *reader) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/cgroup.controllers", "cpu\n")
	write(t, dir+"/cpu.stat", "usage_usec 5\n")
	write(t, dir+victim+"/cgroup.procs", "1\n")
	for i := range n {
		child := fmt.Sprintf("%s%s/%05d", dir, crowded, i)
		if err := os.MkdirAll(child, 0o755); err != nil {
			t.Fatal(err)
		}
		if file != "" {
			write(t, child+"/"+file, "1\n")
		}
	}
	h := host("testdata/none", dir)
	r := opened(t, h)
	return h, r
}

func gapWith(s *observe.Snapshot, text string) *observe.Gap {
	for _, g := range s.Gaps {
		if strings.Contains(g.Reason, text) {
			return &g
		}
	}
	return nil
}

// TestCrowds checks that neither empty cgroups nor those with processes hide the cgroup
// of another tenant, and that the gap about them ends when they are removed.
func TestCrowds(t *testing.T) {
	for name, tt := range map[string]struct {
		n         int
		file, gap string
	}{
		"empty":     {maxVisits + 10, "", "without processes"},
		"processes": {maxGroups + 10, "cgroup.procs", "the limit of 5000 cgroups"},
	} {
		t.Run(name, func(t *testing.T) {
			h, r := crowdedTree(t, tt.n, tt.file)
			now := time.Now()
			r.now = func() time.Time { // a walk takes half a second
				now = now.Add(500 * time.Millisecond)
				return now
			}
			r.turn = func(time.Duration) bool { return true }
			s := snapshot(t, r, h)
			if gap := gapWith(s, tt.gap); gap == nil || !strings.Contains(gap.Reason, r.tree.main()+crowded) {
				t.Fatalf("gaps = %v, want one with %q that names %s", s.Gaps, tt.gap, crowded)
			}
			if other := map[bool]string{true: "the limit of", false: "without processes"}[tt.file == ""]; gapWith(s, other) != nil {
				t.Errorf("gaps = %v, want none with %q", s.Gaps, other)
			}
			if r.groups[victim] == nil {
				t.Errorf("%s is hidden", victim)
			}
			if len(r.groups) > maxGroups {
				t.Errorf("%d cgroups, want at most %d", len(r.groups), maxGroups)
			}
			if err := os.RemoveAll(r.tree.main() + crowded); err != nil {
				t.Fatal(err)
			}
			now = now.Add(walkEvery)
			if s := snapshot(t, r, h); gapWith(s, tt.gap) != nil || r.groups[victim] == nil {
				t.Errorf("gaps = %v %v after the crowd has gone, want none of it", s.Gaps, walkEvery)
			}
		})
	}
}

// TestEarlyWalks checks that a crowd of cgroups that is created and removed repeatedly
// makes walks at most twice as frequent.
func TestEarlyWalks(t *testing.T) {
	r := &reader{}
	dir := t.TempDir() // empty: every crowd has been removed
	now := time.Now()
	walks := 0
	const took, hour = 500 * time.Millisecond, 3600
	for range hour {
		now = now.Add(time.Second)
		if r.walkDue(now) {
			r.schedule(now, now.Add(took))
			r.crowd = crowd{dir, 100}
			walks++
		}
	}
	if most := 2*hour/(walkShare*took.Seconds()) + 1; float64(walks) > most || walks < 30 {
		t.Errorf("%d walks of %v in an hour, want at most %v", walks, took, most)
	}
}

// BenchmarkCrowd walks this host's tree with 20,000 empty cgroups of one tenant and a
// cgroup of another tenant that sorts after them.
func BenchmarkCrowd(b *testing.B) {
	if os.Geteuid() != 0 || !cgroups.Has(cgroups.Unified) {
		b.Skip("needs root and cgroup v2 to create cgroups")
	}
	prefix := fmt.Sprintf("/headroom-bench-%d", os.Getpid())
	newGroup(b, prefix+"-a", nil, cgroups.Unified)
	for i := range 20_000 {
		child := fmt.Sprintf("%s%s-a/%d", cgroups.Root(cgroups.Unified), prefix, i)
		if err := os.Mkdir(child, 0o755); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = os.Remove(child) }) //nolint:errcheck // the deletion of the cgroup above reports it
	}
	neighbour := newGroup(b, prefix+"-z", nil, cgroups.Unified)
	cmd := neighbour.Command("sleep", "300")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
		_ = cmd.Wait()         //nolint:errcheck // killed
	})
	h := host("/proc", "/sys/fs/cgroup")
	r := opened(b, h)
	s := observe.NewSnapshot(h.Index)
	for b.Loop() {
		s.Reset()
		r.survey(s)
	}
	if r.groups[neighbour.Path] == nil {
		b.Errorf("%s is hidden", neighbour.Path)
	}
}
