// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"math"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// holding starts a process that has fds descriptors open and a given limit.
func holding(tb testing.TB, fds int, limit uint64) int {
	tb.Helper()
	// The process must not inherit the descriptors that this process was started with.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		tb.Skip("close_range:", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		tb.Fatal(err)
	}
	defer null.Close()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	for range fds - 3 {
		cmd.ExtraFiles = append(cmd.ExtraFiles, null)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() //nolint:errcheck // its input has ended
	})
	hello := []byte{'\n'} // when it answers, it has loaded its libraries
	if _, err := in.Write(hello); err != nil {
		tb.Fatal(err)
	}
	if _, err := out.Read(hello); err != nil {
		tb.Fatal(err)
	}
	pid := cmd.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
		tb.Fatal(err)
	}
	return pid
}

// TestSmallLimits checks that a limit is written if the number of descriptors is near
// it, however small both are, except for the limit of a sandbox.
func TestSmallLimits(t *testing.T) {
	cases := []struct {
		name  string
		fds   int
		limit uint64
		want  bool
	}{
		{"all of a small limit", 40, 40, true},
		{"most of a small limit", 30, 40, true},
		{"all of the smallest limit", tightLimit, tightLimit, true},
		{"few of the usual limit", 40, 1024, false},
		{"lowered below what it holds", 40, 20, false},
		{"a sandbox", 5, 5, false},
	}
	pids := make([]int, len(cases))
	for i, tt := range cases {
		pids[i] = holding(t, tt.fds, tt.limit)
	}
	for source, probes := range map[string]*sampler.Probes{"kernel": withProbe(t), "tree": nil} {
		r := opened(t, host(probes))
		s := read(t, r)
		for i, tt := range cases {
			p := r.procs[pids[i]]
			if p == nil {
				t.Fatalf("%s, %s: the process was not found", source, tt.name)
			}
			id, _ := r.identity.Process(p.pid, p.start)
			if got, _ := s.Value(catalog.ProcessFDs, id); got != float64(tt.fds) {
				t.Errorf("%s, %s: %v descriptors, want %d", source, tt.name, got, tt.fds)
			}
			if got, ok := s.Value(catalog.ProcessFDLimit, id); ok != tt.want || ok && got != float64(tt.limit) {
				t.Errorf("%s, %s: limit = %v %v, want %d %v", source, tt.name, got, ok, tt.limit, tt.want)
			}
		}
	}
}

// BenchmarkLimits reads 1,000 processes without eBPF, in passes that read all limits
// and in the passes between them.
func BenchmarkLimits(b *testing.B) {
	for range 1000 {
		holding(b, 12, 1024)
	}
	h := host(nil)
	r := opened(b, h)
	r.turn = func(time.Duration) bool { return true }
	s := observe.NewSnapshot(h.Index)
	for name, step := range map[string]time.Duration{"between": 0, "all": 2 * limitEvery} {
		b.Run(name, func(b *testing.B) {
			now := boottime()
			r.boottime = func() time.Duration { return now }
			for b.Loop() {
				now += step
				r.next = 0
				s.Reset()
				if err := r.Read(s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(r.procs)), "processes")
		})
	}
}
