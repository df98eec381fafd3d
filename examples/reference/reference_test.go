// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/examples/reference/faults"
)

const stateDir = "/var/lib/headroom-reference"

// usual are the faults of a default run: a setting, a limit, and a fault whose
// effects remain.
var usual = []string{"sync-crypto", "cpu-quota", "listener-leak"}

// TestShop starts the shop, switches faults on and off, and stops it. It takes about a
// minute and a half.
//
// REFERENCE_FAULTS lists the faults to try, separated by commas, each optionally with
// a level (cpu-quota=0.2), or is all. REFERENCE_HEADROOM is the path of a headroom
// that observes each fault, REFERENCE_KEEP a folder for its recordings.
func TestShop(t *testing.T) {
	shop := newShop(t)
	shop.mustRun(t, "up", "-source", ".")
	shop.measure(t, 5*time.Second) // until the code is compiled and caches are warm
	healthy := shop.measure(t, measureFor)
	if n := healthy[errorsSeen]; n > 0 {
		t.Fatalf("%v requests to a healthy shop failed", n)
	}
	t.Logf("healthy: %v", healthy)
	for _, f := range chosen(t) {
		t.Run(f.Name, func(t *testing.T) { shop.breakAndFix(t, f, healthy) })
	}
	rememberPods()
	shop.mustRun(t, "down")
	mustHaveLeftNothing(t, shop.before)
}

// chosen returns the faults to try.
func chosen(t *testing.T) []faults.Fault {
	names := usual
	if asked := os.Getenv("REFERENCE_FAULTS"); asked == "all" {
		return faults.All
	} else if asked != "" {
		names = strings.Split(asked, ",")
	}
	var these []faults.Fault
	for _, name := range names {
		name, level, other := strings.Cut(name, "=")
		f, ok := faults.Find(name)
		if !ok {
			t.Fatalf("no fault %q", name)
		}
		if other {
			f.Level = level
		}
		these = append(these, f)
	}
	return these
}

// TestInterrupted interrupts `up`: it must stop what it started.
func TestInterrupted(t *testing.T) {
	shop := newShop(t)
	cmd := exec.Command(shop.program, "up", "-source", ".")
	must(t, cmd.Start())
	eventually(t, "a server", func() bool { return len(ownProcesses()) > 0 })
	rememberPods()
	must(t, cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err == nil {
		t.Error("an interrupted up ends with success")
	}
	mustHaveLeftNothing(t, shop.before)
}

// TestCrashed kills `up`: `down` must remove what is left, and a second `down` must
// succeed as well.
func TestCrashed(t *testing.T) {
	shop := newShop(t)
	cmd := exec.Command(shop.program, "up", "-source", ".")
	must(t, cmd.Start())
	eventually(t, "a container", func() bool { return len(containers()) > 0 })
	rememberPods()
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	cmd.Wait() //nolint:errcheck // it was killed
	shop.mustRun(t, "down")
	mustHaveLeftNothing(t, shop.before)
	if out := shop.mustRun(t, "down"); !strings.Contains(out, "not up") {
		t.Errorf("the second down says %q", out)
	}
}

// breakAndFix checks that the fault changes its indicator, and that the indicator
// recovers when the fault is switched off.
func (s *shop) breakAndFix(t *testing.T, f faults.Fault, healthy readings) {
	want, ok := moves[f.Name]
	if !ok {
		t.Fatal("no indicator is listed for this fault")
	}
	on := s.mustRun(t, "fault", f.Name, f.Level)
	t.Log(strings.TrimSpace(on))
	time.Sleep(want.after + 3*time.Second)
	said := s.observe(t)
	broken := s.measure(t, measureFor)
	found := <-said
	s.mustRun(t, "fault", f.Name, "off")
	from, to := healthy[want.indicator], broken[want.indicator]
	if to < want.times*max(from, want.floor) {
		t.Errorf("%s = %.3g with the fault, %.3g without: less than %v times as much", want.indicator, to, from, want.times)
	}
	cured := s.recovers(t, want, from, to)
	t.Logf("| %d | `%s` %s | %s | %s | %s | %s | %s |", f.Row, f.Name, f.Level, want.indicator, show(want.indicator, from), show(want.indicator, to), show(want.indicator, cured), found)
}

// recovers waits until the indicator has recovered: below the value that counts as a
// change, and at most a quarter of the change away from the healthy value.
func (s *shop) recovers(t *testing.T, want move, from, to float64) float64 {
	t.Helper()
	last := 0.0
	for range 8 {
		last = s.measure(t, 4*time.Second)[want.indicator]
		if last < max(from, want.floor)*want.times && last <= from+max(want.floor, (to-from)/4) {
			return last
		}
	}
	t.Errorf("%s = %.3g after the fault was switched off, %.3g before it was on", want.indicator, last, from)
	return last
}

// observe runs headroom in the background, if REFERENCE_HEADROOM is set.
func (s *shop) observe(t *testing.T) <-chan string {
	said := make(chan string, 1)
	program := os.Getenv("REFERENCE_HEADROOM")
	if program == "" {
		said <- ""
		return said
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		args := []string{"diagnose", "--duration", "10s", "-o", "json"}
		if keep := os.Getenv("REFERENCE_KEEP"); keep != "" {
			args = append(args, "--save", filepath.Join(keep, filepath.Base(t.Name())+".hr"))
		}
		out, err := exec.CommandContext(ctx, program, args...).Output()
		if err != nil {
			t.Logf("headroom: %v", err)
		}
		state, _ := os.ReadFile(stateDir + "/state.json") // lists the pods of the shop
		said <- findings(out, string(state))
	}()
	return said
}

// A shop is the program that runs the shop, and the state of the host before.
type shop struct {
	program string
	before  leftovers
}

func newShop(t *testing.T) *shop {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the shop needs root: containers and cgroups")
	}
	if _, err := os.Stat("node_modules"); err != nil {
		t.Skip("no node_modules: make reference")
	}
	s := &shop{program: filepath.Join(t.TempDir(), "shop"), before: look()}
	build := exec.Command("go", "build", "-o", s.program, "./host")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			exec.Command(s.program, "down").Run() //nolint:errcheck // the failure is already reported
		}
	})
	return s
}

// mustRun runs a command of the shop.
func (s *shop) mustRun(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(s.program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("shop %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}
