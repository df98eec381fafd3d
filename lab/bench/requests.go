// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The service and the load have one CPU each, so that headroom's own work competes
// equally with both measurements.
const serviceCPU, loadCPU = "1", "0"

// hello is a minimal server: the cost of a hook is a large part of each request.
// It counts its requests, because the load generator rounds the number.
const hello = `let n = 0;
require('http').createServer((q, r) => {
  if (q.url === '/n') return r.end(String(n));
  n++; r.end('hello');
}).listen(+process.argv[2], '127.0.0.1');
`

// A target is a service with a load.
type target struct {
	process *exec.Cmd
	load    func(d time.Duration) *exec.Cmd
	served  func() (float64, error)
}

// requestCost measures the CPU time per request of one service, with and without
// headroom.
func requestCost(c config, name string) error {
	service, connections, ok := strings.Cut(name, "-c")
	if _, err := strconv.Atoi(connections); !ok || err != nil {
		return fmt.Errorf("unknown load: want host, node-cN or redis-cN")
	}
	dir, err := os.MkdirTemp("", "headroom-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var ratios, without []float64
	for pair := range c.pairs {
		// A new service for each pair, so that both windows have the same memory layout.
		t, err := startTarget(service, connections, dir)
		if err != nil {
			return err
		}
		off, on, err := measurePair(c, t, pair%2 == 1)
		stop(t.process)
		if err != nil {
			return err
		}
		ratios, without = append(ratios, on/off), append(without, off)
		fmt.Fprintf(os.Stderr, "%s pair %d: %.3f µs without, %.3f with, %+.1f %%\n", name, pair+1, off*1e6, on*1e6, 100*(on/off-1))
	}
	median, low, high := medianInterval(ratios)
	base, _, _ := medianInterval(without)
	fmt.Printf("%s: CPU per request %.2f µs, with headroom %+.1f %% (95 %%: %+.1f to %+.1f), %d pairs of %v\n",
		name, base*1e6, 100*(median-1), 100*(low-1), 100*(high-1), c.pairs, c.window)
	return nil
}

func measurePair(c config, t *target, onFirst bool) (off, on float64, err error) {
	for i := range 2 {
		if onFirst == (i == 0) {
			on, err = withHeadroom(c, t)
		} else {
			off, err = perRequest(t, c.window)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return off, on, nil
}

// settle is the time for headroom to start before a window begins.
const settle = 2 * time.Second

func withHeadroom(c config, t *target) (float64, error) {
	h, err := beside(c)
	if err != nil {
		return 0, err
	}
	if err := bound(h).Start(); err != nil {
		return 0, err
	}
	defer stop(h)
	time.Sleep(settle)
	return perRequest(t, c.window)
}

// beside returns the headroom command to run during the measurement: agent or record.
func beside(c config) (*exec.Cmd, error) {
	if c.recording {
		return exec.Command(c.headroom, "record", "--duration", (c.window + 20*time.Second).String(), filepath.Join(os.TempDir(), "headroom-bench.hr")), nil
	}
	port, err := freePort()
	return exec.Command(c.headroom, "agent", "--web.listen-address", "127.0.0.1:"+port), err
}

// perRequest returns the service's CPU time per request, in seconds.
func perRequest(t *target, d time.Duration) (float64, error) {
	load := t.load(d + 2*time.Second)
	if err := bound(load).Start(); err != nil {
		return 0, fmt.Errorf("starting the load: %w", err)
	}
	defer stop(load)
	time.Sleep(time.Second)
	cpu0, n0, err := reading(t)
	if err != nil {
		return 0, err
	}
	time.Sleep(d)
	cpu1, n1, err := reading(t)
	if err != nil {
		return 0, err
	}
	if n1-n0 < 100 {
		return 0, fmt.Errorf("%.0f requests in a window: the load is not running", n1-n0)
	}
	return (cpu1 - cpu0) / (n1 - n0), nil
}

func reading(t *target) (cpu, n float64, err error) {
	if cpu, err = cpuSeconds(t.process.Process.Pid); err != nil {
		return 0, 0, err
	}
	n, err = t.served()
	return cpu, n, err
}

// cpuSeconds adds up the exact CPU time of all threads of a process.
func cpuSeconds(pid int) (float64, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no threads of process %d: %w", pid, err)
	}
	total := 0.0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has exited
		}
		ns, err := strconv.ParseFloat(string(bytes.Fields(b)[0]), 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f, err)
		}
		total += ns / 1e9
	}
	return total, nil
}

func startTarget(service, connections, dir string) (*target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	var t *target
	switch service {
	case "node":
		t, err = nodeTarget(port, connections, dir)
	case "redis":
		t, err = redisTarget(port, connections, dir)
	default:
		return nil, fmt.Errorf("unknown service %q", service)
	}
	if err != nil {
		return nil, err
	}
	if err := bound(t.process).Start(); err != nil {
		return nil, err
	}
	if err := waitFor("127.0.0.1:" + port); err != nil {
		stop(t.process)
		return nil, err
	}
	// The JIT compiler and caches warm up outside the windows.
	if _, err := perRequest(t, 3*time.Second); err != nil {
		stop(t.process)
		return nil, err
	}
	return t, nil
}

func nodeTarget(port, connections, dir string) (*target, error) {
	script := filepath.Join(dir, "hello.js")
	if err := os.WriteFile(script, []byte(hello), 0o644); err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + port
	return &target{
		process: exec.Command("taskset", "-c", serviceCPU, "node", script, port),
		load: func(d time.Duration) *exec.Cmd {
			return exec.Command("taskset", "-c", loadCPU, "wrk", "-t1", "-c"+connections, "-d"+fmt.Sprintf("%.0fs", d.Seconds()), url+"/")
		},
		served: func() (float64, error) { return httpNumber(url + "/n") },
	}, nil
}

func redisTarget(port, connections, dir string) (*target, error) {
	return &target{
		process: exec.Command("taskset", "-c", serviceCPU, "redis-server", "--port", port, "--bind", "127.0.0.1",
			"--save", "", "--appendonly", "no", "--dir", dir),
		load: func(time.Duration) *exec.Cmd { // stopped at the end of the window
			return exec.Command("taskset", "-c", loadCPU, "redis-benchmark", "-p", port, "-P", "1", "-c", connections,
				"-t", "get", "-n", "1000000000", "-q")
		},
		served: func() (float64, error) { return redisCommands(port) },
	}, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func waitFor(address string) error {
	for range 100 {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("no server listens on %s after 10 s", address)
}

// stop ends a process that this program started and waits for it.
func stop(c *exec.Cmd) {
	if c.Process == nil {
		return
	}
	_ = c.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = c.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		_ = c.Process.Kill()
		<-done
	}
}
