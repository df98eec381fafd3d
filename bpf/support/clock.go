// SPDX-License-Identifier: Apache-2.0

package support

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// OpenClock opens a clock that runs a program on each CPU, that many times a second.
func OpenClock(hz uint64) ([]Tracepoint, *Unsupported) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, &Unsupported{Reason: "the number of CPUs is not known: " + err.Error(), Err: err}
	}
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Sample: hz, Bits: unix.PerfBitFreq | unix.PerfBitDisabled}
	attr.Size = uint32(unix.PERF_ATTR_SIZE_VER0)
	var opened []Tracepoint
	for cpu := range cpus {
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if errors.Is(err, unix.ENODEV) {
			continue // the CPU is offline
		}
		if err != nil {
			_ = CloseAll(opened) //nolint:errcheck // nothing ran there yet
			return nil, noTracepoint(err)
		}
		opened = append(opened, Tracepoint{fd})
	}
	if len(opened) == 0 {
		return nil, &Unsupported{Reason: fmt.Sprintf("no clock on any of %d CPUs", cpus)}
	}
	return opened, nil
}

// Monotonic returns the time at which eBPF programs stamp events, ns of CLOCK_MONOTONIC.
func Monotonic() (uint64, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("reading the clock: %w", err)
	}
	return uint64(t.Nano()), nil
}
