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

	"github.com/headroom-project/headroom/lab/outside"
)

const (
	blockedLoop = "event-loop-blocked"
	throttled   = "cpu-throttled"
	saturated   = "host-saturated"
)

// TestGuestCheck wants every question answered on pure v2 by root; what an old
// kernel cannot do is listed.
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
	for _, s := range c.Samplers {
		for i := range s.Gaps {
			s.Gaps[i].Source = s.Name
		}
		tellGaps(t, s.Gaps)
	}
	for _, a := range c.Answers {
		if a.State == "no" && a.ID != "conntrack-exhaustion" { // a guest tracks no connections
			t.Errorf("%s cannot be answered", a.ID)
		}
	}
}

// throttledRedis is in a container with a fifth of a core, and asked for as
// much as it gives.
func throttledRedis(t *testing.T) (cgroup string, server int) {
	t.Helper()
	cgroup = newContainer(t, "20000 100000")
	server = startRedis(t, cgroup)
	load(t, 2, 0, burning(t, server, 60*time.Millisecond))
	return cgroup, server
}

func ourContainer(s subject) bool { return s.Container == containerID }

// TestGuestThrottledOnV2 wants the limit as the root of the stalls. headroom runs
// as a DaemonSet's pod does, from which /proc tells cgroups by a climb.
func TestGuestThrottledOnV2(t *testing.T) {
	cgroup, server := throttledRedis(t)
	file := recording(t)
	r := parse(t, run(t, asPod(t, exec.Command(headroom, diagnosis("--duration", "8s", "--save", file)...))))

	root := r.find(t, throttled, "limit-too-low", ourContainer)
	if root.SymptomOf != nil {
		t.Errorf("the limit is a symptom of %s, want it to be the root", root.SymptomOf.ID)
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

// raisesLimit wants a limit above a fifth of a core, and no more than the one
// thread can use.
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
		t.Errorf("limit = %g cores, want what one thread can use", *rec.Quantity)
	}
}

// replays wants the findings of a recording, byte for byte.
func replays(t *testing.T, file string, want *report) *report {
	t.Helper()
	r := diagnose(t, "--from", file)
	if !bytes.Equal(r.raw, want.raw) {
		t.Errorf("findings from the recording = %s\nwant %s", r.raw, want.raw)
	}
	return r
}

// TestGuestLoopStall has one CPU for redis, its client and headroom: one
// command every second or so.
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
			t.Errorf("evidence = %+v, want the call that slept", f.Evidence)
		}
	})
}

// TestGuestRecord keeps a stall and diagnoses it twice elsewhere.
func TestGuestRecord(t *testing.T) {
	server := startRedis(t, "")
	load(t, 1, 500*time.Millisecond, burning(t, server, 250*time.Millisecond))
	file := recording(t)
	run(t, exec.Command(headroom, "record", file, "--duration", "4s"))
	first := diagnose(t, "--from", file)
	first.find(t, blockedLoop, "on-cpu", pid(server))
	replays(t, file, first)
}

// TestGuestNoPerfEvents has what the manifest's container has, which is not
// CAP_SYS_ADMIN, and Debian's strictest setting: a stall is found, with its cause.
func TestGuestNoPerfEvents(t *testing.T) {
	mountTracefs(t) // as every host has it, so that only the setting forbids
	setSysctl(t, "kernel/perf_event_paranoid", "3")
	server := startRedis(t, "")
	load(t, 1, 500*time.Millisecond, burning(t, server, 250*time.Millisecond))
	cmd := withLess(lessCaps, append([]string{headroom}, diagnosis("--duration", "6s")...)...)
	r := parse(t, run(t, cmd))
	r.find(t, blockedLoop, "on-cpu", pid(server))
	if !debian(t) {
		t.Log("perf_event_paranoid=3 is Debian's own; this kernel allows perf_event_open")
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

// TestGuestNoBTF leaves what needs no eBPF.
func TestGuestNoBTF(t *testing.T) {
	throttledRedis(t)
	cmd := withLess(lessBTF, append([]string{headroom}, diagnosis("--duration", "4s")...)...)
	lessButSure(t, parse(t, run(t, cmd)))
}

// TestGuestUnprivileged leaves what anybody may read.
func TestGuestUnprivileged(t *testing.T) {
	throttledRedis(t)
	lessButSure(t, parse(t, run(t, asNobody(append([]string{headroom}, diagnosis("--duration", "4s")...)...))))
}

// lessButSure wants the throttling of the container found without a loop to
// tell whom it delayed.
func lessButSure(t *testing.T, r *report) {
	t.Helper()
	r.curedGaps(t)
	r.answers(t, []string{saturated}, []string{blockedLoop})
	raisesLimit(t, r.find(t, throttled, "limit-too-low", ourContainer))
}
