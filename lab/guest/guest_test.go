// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const (
	blockedLoop = "event-loop-blocked"
	throttled   = "cpu-throttled"
	saturated   = "host-saturated"
)

// TestGuestCheck checks that as root on pure v2 all analyzers can run, and that
// features that an old kernel lacks are listed.
func TestGuestCheck(t *testing.T) {
	var c struct {
		Facts    []struct{ Name, Value string }
		Samplers []struct {
			Name, State string
			Gaps        []gap
		}
		Answers []struct{ ID, State string }
	}
	outside.Must(t, json.Unmarshal(run(t, exec.Command(headroom, "check", "-o", "json")), &c))
	for _, f := range c.Facts {
		if f.Name == "cgroups" && f.Value != "v2" {
			t.Errorf("cgroups = %s, want v2", f.Value)
		}
	}
	lacks := make(map[string]bool)
	for _, s := range c.Samplers {
		lacks[s.Name] = len(s.Gaps) > 0
		for i := range s.Gaps {
			s.Gaps[i].Source = s.Name
		}
		logGaps(t, s.Gaps)
	}
	// A guest tracks no connections, its files can be in memory, and an old kernel shows no requests, calls and keys.
	needs := map[string]string{"conntrack-exhaustion": "conntrack", "requests-waiting": "requests", "pool-exhausted": "upstreams", "n-plus-one": "upstreams", "cacheable-reads": "upstreams",
		"slow-upstream": "upstreams", "cache-too-small": "rediskeys", "thread-pool-exhausted": "requests", "lock-contention": "requests", "disk-space-exhaustion": "filesystem"}
	for _, a := range c.Answers {
		if a.State == "no" && !lacks[needs[a.ID]] {
			t.Errorf("%s cannot run", a.ID)
		}
	}
}

// throttledRedis starts redis in a container with a fifth of a core, under full load.
func throttledRedis(t *testing.T) (cgroup string, server int) {
	t.Helper()
	cgroup = newContainer(t, "20000 100000")
	server = startRedis(t, cgroup)
	load(t, 2, 0, burning(t, server, 60*time.Millisecond))
	return cgroup, server
}

func ourContainer(s subject) bool { return s.Container == containerID }

// TestGuestThrottledOnV2 expects the limit as the cause of the stalls. headroom runs
// as in the pod of a DaemonSet, where cgroup paths in /proc start with "/..".
func TestGuestThrottledOnV2(t *testing.T) {
	cgroup, server := throttledRedis(t)
	file := recording(t)
	inPod := asPod(t, exec.Command(headroom)).SysProcAttr
	r := observed(t, func() *exec.Cmd {
		cmd := exec.Command(headroom, diagnosis("--duration", "8s", "--save", file)...)
		cmd.SysProcAttr = inPod
		return cmd
	})

	root := r.find(t, throttled, "limit-too-low", ourContainer)
	if root.SymptomOf != nil {
		t.Errorf("the limit is a symptom of %s, want it as the cause", root.SymptomOf.ID)
	}
	if s := root.Subject; s.Pod != podUID || cgroupRoot+s.Cgroup != cgroup {
		t.Errorf("subject = %+v, want pod %s and its cgroup", s, podUID)
	}
	raisesLimit(t, root)
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.ID == blockedLoop && f.Subject.PID == server && (f.SymptomOf == nil || f.SymptomOf.ID != throttled) {
			t.Errorf("the stall is a symptom of %+v, want %s", f.SymptomOf, throttled)
		}
	}
	sumsOf(t, file, server, strings.TrimPrefix(cgroup, cgroupRoot)).agree(t)
	replays(t, file, r)
}

// raisesLimit expects a recommended limit above a fifth of a core, and at most what
// the single thread can use.
func raisesLimit(t *testing.T, f *finding) {
	t.Helper()
	if len(f.Recommendations) == 0 {
		t.Fatal("no recommendation")
	}
	rec := f.Recommendations[0]
	if rec.Verb != "raise-cpu-limit" || rec.Quantity == nil || rec.Unit != "cores" {
		t.Fatalf("recommendation = %+v, want raise-cpu-limit with a number of cores", rec)
	}
	if *rec.Quantity <= 0.3 || *rec.Quantity > 1.2 {
		t.Errorf("limit = %g cores, want at most what one thread can use", *rec.Quantity)
	}
}

// replays diagnoses a recording, and expects the same findings, byte for byte.
func replays(t *testing.T, file string, want *report) *report {
	t.Helper()
	r := diagnose(t, "--from", file)
	if !bytes.Equal(r.raw, want.raw) {
		t.Errorf("findings from the recording = %s\nwant %s", r.raw, want.raw)
	}
	return r
}

// TestGuestLoopStall runs redis, its client and headroom on one CPU, with about one
// command per second.
func TestGuestLoopStall(t *testing.T) {
	server := startRedis(t, "")
	t.Run("on-cpu", func(t *testing.T) {
		load(t, 1, 500*time.Millisecond, burning(t, server, 250*time.Millisecond))
		r := diagnose(t, "--duration", "6s")
		f := r.find(t, blockedLoop, "on-cpu", pid(server))
		if f.Subject.Name != "redis-server" {
			t.Errorf("name = %q, want redis-server", f.Subject.Name)
		}
		r.answers(t, []string{blockedLoop, saturated}, nil)
	})
	t.Run("blocking-call", func(t *testing.T) {
		load(t, 1, 500*time.Millisecond, []string{"DEBUG", "SLEEP", "0.3"})
		f := diagnose(t, "--duration", "6s").find(t, blockedLoop, "blocking-call", pid(server))
		if !slices.ContainsFunc(f.Evidence, func(e struct{ Metric, Label string }) bool {
			return strings.HasSuffix(e.Label, "nanosleep")
		}) {
			t.Errorf("evidence = %+v, want the blocking call", f.Evidence)
		}
	})
}

// TestGuestRecord records a stall and diagnoses the recording twice.
func TestGuestRecord(t *testing.T) {
	server := startRedis(t, "")
	load(t, 1, 500*time.Millisecond, burning(t, server, 250*time.Millisecond))
	file := recording(t)
	run(t, exec.Command(headroom, "record", file, "--duration", "4s"))
	first := diagnose(t, "--from", file)
	first.find(t, blockedLoop, "on-cpu", pid(server))
	replays(t, file, first)
}

// TestGuestNoPerfEvents runs headroom with the capabilities of the manifest's
// container, without CAP_SYS_ADMIN, and with Debian's strictest setting: it must
// find a stall and its cause.
func TestGuestNoPerfEvents(t *testing.T) {
	mountTracefs(t) // as on every host, so that only the setting forbids tracepoints
	setSysctl(t, "kernel/perf_event_paranoid", "3")
	server := startRedis(t, "")
	load(t, 1, 500*time.Millisecond, burning(t, server, 250*time.Millisecond))
	r := observed(t, func() *exec.Cmd {
		return withLess(lessCaps, append([]string{headroom}, diagnosis("--duration", "6s")...)...)
	})
	r.find(t, blockedLoop, "on-cpu", pid(server))
	if !debian(t) {
		t.Log("only Debian's kernels know perf_event_paranoid=3; this kernel allows perf_event_open")
		return
	}
	r.curedGaps(t)
	if !slices.ContainsFunc(r.Gaps, func(g gap) bool { return strings.Contains(g.Reason, "tracepoint") }) {
		t.Errorf("gaps = %+v, want the tracepoints", r.Gaps)
	}
}

func debian(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/version")
	outside.Must(t, err)
	return strings.Contains(strings.ToLower(string(text)), "debian")
}

// TestGuestLockedMemory checks that a low limit of locked memory is reported where
// maps count against it, before Linux 5.11, and that no capability is reported as
// missing.
func TestGuestLockedMemory(t *testing.T) {
	out := string(run(t, withLess(lessLock, headroom, "check", "-o", "json")))
	if got := strings.Contains(out, "RLIMIT_MEMLOCK"); got != before(5, 11) || strings.Contains(out, "is not permitted") {
		t.Errorf("the limit of locked memory is named: %t, want %t:\n%s", got, before(5, 11), out)
	}
}

// TestGuestNoBTF hides the BTF: only analyzers that need no eBPF run.
func TestGuestNoBTF(t *testing.T) {
	throttledRedis(t)
	lessButSure(t, observed(t, func() *exec.Cmd {
		return withLess(lessBTF, append([]string{headroom}, diagnosis("--duration", "4s")...)...)
	}))
}

// TestGuestUnprivileged runs headroom without privileges: only public files are read.
func TestGuestUnprivileged(t *testing.T) {
	throttledRedis(t)
	lessButSure(t, observed(t, func() *exec.Cmd {
		return asNobody(append([]string{headroom}, diagnosis("--duration", "4s")...)...)
	}))
}

// lessButSure expects the throttled container to be found without event loops, which
// show the delays.
func lessButSure(t *testing.T, r *report) {
	t.Helper()
	r.curedGaps(t)
	r.answers(t, []string{saturated}, []string{blockedLoop})
	raisesLimit(t, r.find(t, throttled, "limit-too-low", ourContainer))
}
