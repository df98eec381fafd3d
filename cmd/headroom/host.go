// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/identity"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// Where Linux keeps what is read.
const (
	procRoot   = "/proc"
	sysRoot    = "/sys"
	cgroupRoot = "/sys/fs/cgroup"
)

// samplerHost is this host for samplers.
func samplerHost() *sampler.Host { return hostWithRoom(observe.DefaultLimit) }

// hostWithRoom follows so many entities at a time.
func hostWithRoom(entities int) *sampler.Host {
	x := observe.NewIndex(entities)
	return &sampler.Host{
		Proc: procRoot, Sys: sysRoot, Cgroup: cgroupRoot,
		Index:    x,
		Identity: identity.New(procRoot, cgroupRoot, x),
		Probes:   probes(),
	}
}

// hostFacts are what is known about this host; what cannot be read is absent.
func hostFacts() observe.Host {
	h := observe.Host{CPUs: runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Name, h.Kernel = unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Release[:])
	}
	if f, err := os.Open(sysRoot + "/devices/system/cpu/online"); err == nil {
		defer f.Close()
		if n, err := parseCPUList(f); err == nil {
			h.CPUs = n
		}
	}
	if f, err := os.Open(procRoot + "/meminfo"); err == nil {
		defer f.Close()
		if total, err := parseMemTotal(f); err == nil {
			h.Memory = total
		}
	}
	return h
}

// parseCPUList counts the CPUs of a kernel list.
//
//	0-3,5
func parseCPUList(r io.Reader) (int, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, fmt.Errorf("reading CPUs online: %w", err)
	}
	n := 0
	for part := range strings.SplitSeq(strings.TrimSpace(string(b)), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || to < from {
			return 0, fmt.Errorf("CPUs online: %q is no list of CPUs", b)
		}
		n += to - from + 1
	}
	return n, nil
}

// parseMemTotal returns the memory that the kernel manages, in bytes.
//
//	MemTotal:       24545580 kB
func parseMemTotal(r io.Reader) (float64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				return 0, fmt.Errorf("MemTotal: %w", err)
			}
			return kib * 1024, nil
		}
	}
	return 0, fmt.Errorf("no MemTotal in meminfo")
}
