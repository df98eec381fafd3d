// SPDX-License-Identifier: Apache-2.0

// Command soak runs the agent together with a load for a long time, and checks that
// its memory, goroutines and descriptors do not grow, and that nothing is lost. It
// needs root, node and redis-server; all traffic is on loopback.
//
// The load changes all the time: a node server that gets requests at a steady rate
// and is blocked for two of every five minutes, redis, a cgroup of processes that
// is replaced every ten seconds, and processes that exit immediately.
package main

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type config struct {
	headroom, listen, out string
	duration, every       time.Duration
	rate, forks           int
}

func main() {
	var c config
	flag.StringVar(&c.headroom, "headroom", "bin/headroom", "the program")
	flag.StringVar(&c.listen, "listen", "127.0.0.1:19790", "where its agent serves")
	flag.StringVar(&c.out, "out", "soak", "folder for soak.csv and the agent's log")
	flag.DurationVar(&c.duration, "duration", time.Hour, "how long")
	flag.DurationVar(&c.every, "every", 10*time.Second, "how often the agent is looked at")
	flag.IntVar(&c.rate, "rate", 150, "requests a second to node, and commands to redis")
	flag.IntVar(&c.forks, "forks", 50, "processes that are born a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := soak(ctx, &c); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(ctx context.Context, c *config) error {
	if err := os.MkdirAll(c.out, 0o755); err != nil {
		return err
	}
	l, err := startLoad(ctx, c)
	defer l.stop()
	if err != nil {
		return err
	}
	agent, err := startAgent(c)
	if err != nil {
		return err
	}
	defer end(agent)
	samples, err := watch(ctx, c, agent)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		fmt.Println("interrupted: judged by what was seen")
	}
	return judge(samples)
}

func startAgent(c *config) (*exec.Cmd, error) {
	state := filepath.Join(c.out, "state")
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(c.out, "agent.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	agent := exec.Command(c.headroom, "agent", "--web.listen-address", c.listen, "--storage.path", state)
	agent.Stdout, agent.Stderr = log, log
	if err := agent.Start(); err != nil {
		return nil, err
	}
	for range 120 {
		if _, err = scrape(c.listen); err == nil {
			return agent, nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	end(agent)
	return nil, fmt.Errorf("the agent does not answer on %s after a minute: %w", c.listen, err)
}

// end stops a process that this program started, and waits for it.
func end(c *exec.Cmd) {
	if c == nil || c.Process == nil {
		return
	}
	_ = c.Process.Signal(syscall.SIGTERM) // it may have exited by itself
	done := make(chan struct{})
	go func() { _ = c.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = c.Process.Kill()
		<-done
	}
}

// watch measures the agent until the time is up, and writes each sample to a file.
func watch(ctx context.Context, c *config, agent *exec.Cmd) ([]sample, error) {
	file, err := os.Create(filepath.Join(c.out, "soak.csv"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	table := csv.NewWriter(file)
	if err := table.Write(columns()); err != nil {
		return nil, err
	}
	var samples []sample
	began := time.Now()
	for tick := time.NewTicker(c.every); ; {
		s, err := look(c.listen, agent.Process.Pid, time.Since(began))
		if err != nil {
			return samples, fmt.Errorf("after %v: %w", time.Since(began).Round(time.Second), err)
		}
		samples = append(samples, s)
		if err := table.Write(s.row()); err != nil {
			return samples, err
		}
		table.Flush()
		if time.Since(began) >= c.duration {
			return samples, table.Error()
		}
		select {
		case <-ctx.Done():
			return samples, table.Error()
		case <-tick.C:
		}
	}
}

var errUnsteady = errors.New("the agent grew or lost data")
