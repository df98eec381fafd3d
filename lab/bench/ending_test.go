// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// loadMode, set in the environment, makes this test binary start a load and wait.
const loadMode = "HEADROOM_BENCH_TEST_LOAD"

func TestMain(m *testing.M) {
	if os.Getenv(loadMode) == "" {
		os.Exit(m.Run())
	}
	c := bound(idleProcesses(func(line ...string) *exec.Cmd { return exec.Command(line[0], line[1:]...) }, 3))
	if err := c.Start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.Process.Pid)
	time.Sleep(time.Minute)
}

// TestKilledBench checks that no process of a load is left when the bench is killed.
func TestKilledBench(t *testing.T) {
	bench := exec.Command("/proc/self/exe")
	bench.Env = append(os.Environ(), loadMode+"=1")
	out, err := bench.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bench.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the load runs", func() bool { return running(t, group) == 3 })
	_ = bench.Process.Kill()
	_ = bench.Wait() // killed
	await(t, "the load has ended", func() bool { return running(t, group) == 0 })
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 1000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not after 10 s: %s", what)
}

// running returns the number of idle processes in a process group.
func running(t *testing.T, group int) int {
	t.Helper()
	all, err := procfs.AllProcs()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		if stat, err := p.Stat(); err == nil && stat.PGRP == group && stat.Comm == "sleep" && stat.State != "Z" {
			n++
		}
	}
	return n
}
