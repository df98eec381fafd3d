// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// Tests of memory limits that only v2 has: memory.high, which delays processes, and
// memory.oom.group.

const (
	memoryPressure = "memory-limit-pressure"
	oomKilled      = "oom-killed"
	mib            = 1 << 20
)

// push is a command that adds 64 KiB to redis.
var push = []string{"EVAL", "return redis.call('RPUSH', 'list', string.rep('x', 65536))", "0"}

// TestGuestMemoryHigh runs a redis that grows beyond memory.high: the kernel delays
// its thread at each return to user space (mem_cgroup_handle_over_high in
// mm/memcontrol.c), longer if the usage is further above the limit.
func TestGuestMemoryHigh(t *testing.T) {
	cgroup := makeContainer(t, podUID, containerID)
	server := startRedis(t, cgroup)
	set(t, cgroup, "memory.high", strconv.Itoa(usage(t, cgroup)+8*mib))
	load(t, 2, 5*time.Millisecond, push)
	outside.Eventually(t, startLimit, "memory.high slows redis down", func() bool { return events(t, cgroup, "high") > 20 })
	file := recording(t)
	r := diagnose(t, "--duration", "8s", "--save", file)

	f := r.find(t, memoryPressure, "limit-too-low", ourContainer)
	if !strings.Contains(f.Summary, "memory.high is ") {
		t.Errorf("summary = %q, want memory.high named", f.Summary)
	}
	raisesMemory(t, f, "memory.high")
	if f.SymptomOf != nil {
		t.Errorf("memory.high is a symptom of %s, want it as the cause", f.SymptomOf.ID)
	}
	r.stallsUnder(t, server, memoryPressure)
	replays(t, file, r)
}

// stallsUnder expects the server's stall as a symptom. The server stalls in page
// faults, and in read if its buffers are new: the cause is either, or mixed.
func (r *report) stallsUnder(t *testing.T, server int, root string) {
	t.Helper()
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.ID != blockedLoop || f.Subject.PID != server {
			continue
		}
		if f.SymptomOf == nil || f.SymptomOf.ID != root {
			t.Errorf("the stall is a symptom of %+v, want %s", f.SymptomOf, root)
		}
		return
	}
	t.Errorf("no %s about redis", blockedLoop)
}

func raisesMemory(t *testing.T, f *finding, what string) {
	t.Helper()
	for _, rec := range f.Recommendations {
		if rec.Verb == "raise-memory-limit" {
			if rec.Quantity == nil || *rec.Quantity < 16*mib || rec.Unit != "bytes" || !strings.Contains(rec.Action, what) {
				t.Errorf("recommendation = %+v, want bytes and %s", rec, what)
			}
			return
		}
	}
	t.Errorf("recommendations = %+v, want raise-memory-limit", f.Recommendations)
}

// An oomCase is a container in which a process is killed repeatedly.
type oomCase struct {
	name, pod, container string
	ofPod, group         bool // the limit is the pod's; memory.oom.group
	cgroup               string
	died                 []int
}

const oomLimit = 48 * mib

// TestGuestOOMKilled checks processes that are killed at the limit of their container,
// alone and together with all others in it, and at the limit of their pod.
func TestGuestOOMKilled(t *testing.T) {
	cases := []*oomCase{
		{name: "own limit", pod: "11111111" + podUID[8:], container: "1111" + containerID[4:]},
		{name: "whole group", pod: "22222222" + podUID[8:], container: "2222" + containerID[4:], group: true},
		{name: "limit of the pod", pod: "33333333" + podUID[8:], container: "3333" + containerID[4:], ofPod: true},
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	for _, c := range cases {
		c.make(t)
	}
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
			}
			if err := cases[i%len(cases)].kill(); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	r := diagnose(t, "--duration", "8s")
	close(stop)
	<-done
	for _, c := range cases {
		c.check(t, r)
	}
}

func (c *oomCase) make(t *testing.T) {
	t.Helper()
	c.cgroup = makeContainer(t, c.pod, c.container)
	limited := c.cgroup
	if c.ofPod {
		limited = c.cgroup[:strings.LastIndexByte(c.cgroup, '/')]
	}
	set(t, limited, "memory.max", strconv.Itoa(oomLimit))
	if c.group {
		set(t, c.cgroup, "memory.oom.group", "1")
	}
}

// kill runs one process that allocates memory up to the limit, and one that sleeps.
func (c *oomCase) kill() error {
	sleeper, rest, err := c.start()
	if err != nil {
		return err
	}
	eater, food, err := c.start()
	if err != nil {
		return err
	}
	if _, err := food.Write([]byte{1}); err != nil {
		return err
	}
	err = eater.Wait()
	if !killed(eater) {
		return fmt.Errorf("%s: the scenario does not hold: the eater ended with %v", c.name, err)
	}
	c.died = append(c.died, eater.Process.Pid)
	if !c.group {
		_ = sleeper.Process.Kill()
	}
	err = sleeper.Wait()
	rest.Close()
	if !killed(sleeper) {
		return fmt.Errorf("%s: the scenario does not hold: the sleeper ended with %v", c.name, err)
	}
	return nil
}

func killed(cmd *exec.Cmd) bool {
	s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signal() == syscall.SIGKILL
}

// eaterMode, set in the environment, makes this test binary wait for a byte and then
// allocate memory without limit.
const eaterMode = "HEADROOM_GUEST_EATER"

func (c *oomCase) start() (*exec.Cmd, io.WriteCloser, error) {
	dir, err := os.Open(c.cgroup)
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), eaterMode+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, in, cmd.Start()
}

var eaten [][]byte

func eatMemory() {
	var b [1]byte
	if n, _ := os.Stdin.Read(b[:]); n == 0 {
		os.Exit(0)
	}
	for {
		eaten = append(eaten, bytes.Repeat(b[:], mib))
	}
}

func (c *oomCase) check(t *testing.T, r *report) {
	t.Helper()
	f := r.find(t, oomKilled, "container-limit", func(s subject) bool { return s.Container == c.container })
	whose := "the limit of its own cgroup is 48 MiB"
	if c.ofPod {
		whose = "the limit of pod " + c.pod + " is 48 MiB"
	}
	if !strings.Contains(f.Summary, whose) || !c.names(f.Summary) {
		t.Errorf("%s: summary = %q, want %q and one of %v", c.name, f.Summary, whose, c.died)
	}
	if c.group && !strings.Contains(f.Summary, "it was one of ") {
		t.Errorf("%s: summary = %q, want more than one killed", c.name, f.Summary)
	}
	raisesMemory(t, f, "memory limit")
	n := 0
	for i := range r.Findings {
		if r.Findings[i].ID == oomKilled {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d findings of killed processes, want one of each container", n)
	}
}

func (c *oomCase) names(summary string) bool {
	for _, pid := range c.died {
		if strings.Contains(summary, fmt.Sprintf("(pid %d)", pid)) {
			return true
		}
	}
	return false
}

// usage returns the memory usage of a cgroup in bytes.
func usage(t *testing.T, cgroup string) int {
	t.Helper()
	text, err := os.ReadFile(cgroup + "/memory.current")
	outside.Must(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	outside.Must(t, err)
	return n
}

// events returns a count of memory.events.
//
//	low 0\nhigh 31\nmax 0\noom 0\noom_kill 0\n
func events(t *testing.T, cgroup, name string) int {
	t.Helper()
	text, err := os.ReadFile(cgroup + "/memory.events")
	outside.Must(t, err)
	_, rest, _ := strings.Cut(string(text), name+" ")
	n := 0
	if _, err := fmt.Sscan(rest, &n); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return n
}
