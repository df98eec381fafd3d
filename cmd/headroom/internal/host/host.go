// SPDX-License-Identifier: Apache-2.0

// Package host describes this machine and this binary: name, size, mount points,
// privileges and kernel features, the samplers and eBPF probes that are built in,
// and the version.
package host

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/identity"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
)

// The mount points that samplers read.
const (
	ProcRoot   = "/proc"
	sysRoot    = "/sys"
	cgroupRoot = "/sys/fs/cgroup"
)

// New returns this host for samplers, with room for a number of entities at a time.
func New(entities int) *sampler.Host {
	x := observe.NewIndex(entities)
	whose := identity.New(ProcRoot, cgroupRoot, x)
	h := &sampler.Host{
		Proc: ProcRoot, Sys: sysRoot, Cgroup: cgroupRoot,
		Index:    x,
		Patience: whose.Patience(),
	}
	h.Identity = h.Detail.Identity(whose)
	h.Probes = probes(agreement(h))
	look(h, whose)
	return h
}

// Describe returns the name, kernel and size of this host. What cannot be read is
// absent.
func Describe() observe.Host {
	h := observe.Host{CPUs: runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Name, h.Kernel = unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Release[:])
	}
	if n, err := parsed(sysRoot+"/devices/system/cpu/online", parseOnline); err == nil {
		h.CPUs = n
	}
	if total, err := parsed(ProcRoot+"/meminfo", parseMemTotal); err == nil {
		h.Memory = total
	}
	return h
}

// describeWait is how long a file that describes the host is waited for. In a
// container of LXC these files are on a FUSE file system, which can hang.
const describeWait = time.Second

var errHangs = errors.New("reading it hangs")

func parsed[T any](path string, parse func(io.Reader) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	a, ok := patience.Within(describeWait, func() answer {
		f, err := os.Open(path)
		if err != nil {
			return answer{err: err}
		}
		defer f.Close()
		value, err := parse(f)
		return answer{value, err}
	})
	if !ok {
		return a.value, fmt.Errorf("%s: %w", path, errHangs)
	}
	return a.value, a.err
}

// parseOnline counts the CPUs that are online.
//
//	0-3,5
func parseOnline(r io.Reader) (int, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, fmt.Errorf("reading CPUs online: %w", err)
	}
	n, ok := sampler.CountCPUs(b)
	if !ok {
		return 0, fmt.Errorf("reading CPUs online: %q is not a list of CPUs such as 0-3,5", b)
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
