// SPDX-License-Identifier: Apache-2.0

package run

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/identity"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// TestSweepKeepsIdentities checks an index of a few entities on which processes start
// and end for a day: no process is refused, and none gets the IDs of another.
func TestSweepKeepsIdentities(t *testing.T) {
	x := observe.NewIndex(500)
	host := &sampler.Host{Index: x, Identity: identity.New("/proc", "/sys/fs/cgroup", x)}
	sweeper, differ, sliding := NewSweeper(host), observe.NewDiffer(x), observe.NewSliding(x, 30, 10)
	s := observe.NewSnapshot(x)
	type life struct {
		id   observe.ID
		name string
	}
	var alive []life
	for second := range 3600 {
		s.Reset()
		s.Monotonic = time.Duration(second) * time.Second
		for len(alive) > 3 {
			s.End(alive[0].id, "exited")
			alive = alive[1:]
		}
		name := fmt.Sprintf("%d:1", 1<<30+second) // beyond any pid of this host
		alive = append(alive, life{x.ID(observe.Entity{Kind: observe.Process, ID: name}), name})
		for _, l := range alive {
			if got := x.Entity(l.id).ID; got != l.name {
				t.Fatalf("second %d: %s has become %s", second, l.name, got)
			}
			s.Set(catalog.ProcessCPU, l.id, float64(second))
			s.SetPair(catalog.WaitedFor, l.id, alive[0].id, float64(second))
		}
		step := differ.Step(s)
		sweeper.Step(step)
		if w := sliding.Add(step); w != nil {
			differ.Forget(sweeper.Sweep(w))
		}
	}
	if x.Refused() > 0 || x.Count() > 300 {
		t.Errorf("%d followed and %d refused, want some hundred and none", x.Count(), x.Refused())
	}
}

// TestSweepFindsOrphans checks that a process whose end was not reported is removed
// when it is dead, and that a living process is kept even if it has no values.
func TestSweepFindsOrphans(t *testing.T) {
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleeper.Wait() //nolint:errcheck // it is killed
	defer sleeper.Process.Kill()
	short := exec.Command("sleep", "60")
	if err := short.Start(); err != nil {
		t.Fatal(err)
	}
	x := observe.NewIndex(100)
	host := &sampler.Host{Index: x, Identity: identity.New("/proc", "/sys/fs/cgroup", x)}
	living, ok1 := host.Identity.Current(sleeper.Process.Pid)
	dying, ok2 := host.Identity.Current(short.Process.Pid)
	if !ok1 || !ok2 {
		t.Fatal("two processes that live are not known")
	}
	if err := short.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = short.Wait()
	time.Sleep(1100 * time.Millisecond) // as long as a pid counts as fresh
	s, w := NewSweeper(host), observe.NewWindow(x)
	step := observe.NewWindow(x)
	step.Seconds = orphansEvery
	var freed []observe.ID
	for range 4 {
		s.Step(step)
		freed = append(freed, s.Sweep(w)...)
	}
	if len(freed) != 1 || freed[0] != dying || x.Entity(living).Kind != observe.Process {
		t.Errorf("freed %v, want %v alone; %v lives", freed, dying, living)
	}
}
