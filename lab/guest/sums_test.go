// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// sums are the seconds for which a container was throttled, from cpu.stat and from
// the metrics of its event loop.
type sums struct{ cgroup, loop float64 }

// sumsOf reads both from the same samples of a recording.
func sumsOf(t *testing.T, file string, server int, cgroup string) sums {
	t.Helper()
	f, err := os.Open(file)
	outside.Must(t, err)
	defer f.Close()
	r, err := archive.NewReader(f)
	outside.Must(t, err)
	var first, last sums
	for n := 0; ; n++ {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		outside.Must(t, err)
		last = sumsIn(s, r.Index(), strconv.Itoa(server), cgroup)
		if n == 0 || first.loop == 0 {
			first = last
		}
	}
	return sums{last.cgroup - first.cgroup, last.loop - first.loop}
}

func sumsIn(s *observe.Snapshot, x *observe.Index, pid, cgroup string) sums {
	var sum sums
	for id, v := range s.Values(catalog.CgroupThrottledS) {
		if x.Entity(id).ID == cgroup {
			sum.cgroup = v
		}
	}
	for _, m := range []*observe.Metric{catalog.LoopThrottled, catalog.CurrentThrottled} {
		for id, v := range s.Values(m) {
			if process, ok := x.Ancestor(id, observe.Process); ok && x.Attr(process, catalog.AttrPID) == pid {
				sum.loop += v
			}
		}
	}
	return sum
}

// agree compares the loop's throttled time with cpu.stat: the loop always has
// requests, so it is throttled whenever the container is.
func (s sums) agree(t *testing.T) {
	t.Helper()
	t.Logf("throttled: %.3f s of the loop, %.3f s in cpu.stat", s.loop, s.cgroup)
	if s.cgroup < 3 {
		t.Errorf("cpu.stat says %.3f s, want most of the window", s.cgroup)
	}
	if d := s.loop - s.cgroup; d > 0.1*s.cgroup || -d > 0.1*s.cgroup {
		t.Errorf("the loop was throttled for %.3f s, cpu.stat says %.3f s", s.loop, s.cgroup)
	}
}
