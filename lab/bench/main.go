// SPDX-License-Identifier: Apache-2.0

// Command bench measures the overhead of headroom for the programs that it
// watches, and its own resource usage. It needs root, two free CPUs, node,
// redis-server, redis-benchmark and wrk; all traffic is on loopback.
//
// The service is pinned to one CPU and its load to the other. Windows with and
// without headroom alternate. The result is the median of the ratios within the
// pairs, with its 95 % interval.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

type config struct {
	headroom        string
	pairs           int
	window          time.Duration
	loads           string
	recording       bool
	processes, pods int
	settle          time.Duration

	sockets, descriptors int
}

func main() {
	if load := os.Getenv(holderMode); load != "" {
		if err := hold(load); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	var c config
	flag.StringVar(&c.headroom, "headroom", "bin/headroom", "the program to measure")
	flag.IntVar(&c.pairs, "pairs", 10, "pairs of windows, with and without, per load")
	flag.DurationVar(&c.window, "window", 10*time.Second, "length of a window")
	flag.BoolVar(&c.recording, "record", false, "run headroom record instead of the agent")
	flag.StringVar(&c.loads, "loads", "node-c50,node-c1,redis-c50,redis-c1,host,agent", "what to measure, comma-separated")
	flag.IntVar(&c.processes, "processes", 1000, "idle processes for the loads host and agent")
	flag.IntVar(&c.pods, "pods", 110, "cgroups for the loads host and agent")
	flag.DurationVar(&c.settle, "settle", 150*time.Second, "how long the agent runs before it is measured: until its windows are full and it rarely reads details of new processes")
	flag.IntVar(&c.sockets, "sockets", 20_000, "open sockets for the load host")
	flag.IntVar(&c.descriptors, "descriptors", 50_000, "open descriptors for the load host, including sockets")
	flag.Parse()
	if err := run(c); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(c config) error {
	describeMachine()
	for _, name := range strings.Split(c.loads, ",") {
		var err error
		switch name {
		case "host":
			err = hostCost(c)
		case "agent":
			err = agentCost(c)
		default:
			err = requestCost(c, name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func describeMachine() {
	model, kernel := "unknown CPU", "unknown kernel"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
			}
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(b))
	}
	fmt.Printf("%s, kernel %s, %s\n", model, kernel, time.Now().UTC().Format(time.RFC3339))
}
