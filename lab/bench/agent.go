// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/prometheus/procfs"
)

// agentCost measures the agent on a host with many processes, scraped as
// Prometheus does.
func agentCost(c config) error {
	leave, err := crowd(c)
	defer leave()
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	address := "127.0.0.1:" + port
	a := bound(exec.Command(c.headroom, "agent", "--web.listen-address", address))
	a.Stderr = os.Stderr
	if err := a.Start(); err != nil {
		return err
	}
	defer stop(a)
	if err := waitFor(address); err != nil {
		return err
	}
	time.Sleep(c.settle)
	return measureAgent(c, a.Process.Pid, "http://"+address+"/metrics")
}

// measureAgent measures the agent for one minute, with a scrape every 15 s.
func measureAgent(c config, pid int, url string) error {
	user0, system0, err := cpuTimes(pid)
	if err != nil {
		return err
	}
	var took []float64
	var series int
	for range 4 {
		time.Sleep(15 * time.Second)
		began := time.Now()
		if series, err = countSeries(url); err != nil {
			return err
		}
		took = append(took, time.Since(began).Seconds()*1000)
	}
	user, system, err := cpuTimes(pid)
	if err != nil {
		return err
	}
	memory, err := memoryOf(pid)
	if err != nil {
		return err
	}
	slices.Sort(took)
	fmt.Printf("agent: %d processes in %d cgroups: %.2f CPU s a minute (user %.2f, system %.2f), %s, scrape %.1f ms median %.1f ms longest, %d series\n",
		c.processes, c.pods, user-user0+system-system0, user-user0, system-system0, memory, (took[1]+took[2])/2, took[3], series)
	return nil
}

func countSeries(url string) (int, error) {
	answer, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	n := 0
	for line := range bytes.Lines(text) {
		if len(line) > 1 && line[0] != '#' {
			n++
		}
	}
	return n, nil
}

// cpuTimes returns the CPU times of the whole process in seconds, in steps of
// 0.01 s (proc_pid_stat(5)).
func cpuTimes(pid int) (user, system float64, err error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0, err
	}
	stat, err := p.Stat()
	return float64(stat.UTime) / 100, float64(stat.STime) / 100, err
}

func statusOf(pid int) (procfs.ProcStatus, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStatus{}, err
	}
	return p.NewStatus()
}

// memoryOf returns the resident memory of a process: anonymous memory, and file
// pages, which the kernel can drop.
func memoryOf(pid int) (string, error) {
	s, err := statusOf(pid)
	mib := func(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
	return fmt.Sprintf("RSS %.1f MiB (anonymous %.1f, file %.1f), peak %.1f MiB", mib(s.VmRSS), mib(s.RssAnon), mib(s.RssFile), mib(s.VmHWM)), err
}
