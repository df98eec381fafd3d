// SPDX-License-Identifier: Apache-2.0

// Package host describes this machine and this binary: name, size, mount points,
// privileges and kernel features, the samplers and eBPF probes that are built in,
// and the version.
package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/identity"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
)

// Mount points that samplers read.
const (
	ProcRoot   = "/proc"
	sysRoot    = "/sys"
	cgroupRoot = "/sys/fs/cgroup"
)

// New returns this host for samplers, with capacity for a number of entities.
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

// Describe returns the name, kernel and size of this host. Values that cannot be
// read are absent.
func Describe() observe.Host {
	h := observe.Host{CPUs: runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Name, h.Kernel = unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Release[:])
	}
	if n, err := parsed(sysRoot+"/devices/system/cpu/online", parseOnline); err == nil {
		h.CPUs = n
	}
	if total, err := bounded(ProcRoot+"/meminfo", func() (float64, error) { return memTotal(ProcRoot) }); err == nil {
		h.Memory = total
	}
	return h
}

// describeWait is the timeout for a file that describes the host. In an LXC
// container these files are on a FUSE file system, which can hang.
const describeWait = time.Second

var errHangs = errors.New("reading it hangs")

func parsed[T any](path string, parse func(io.Reader) (T, error)) (T, error) {
	return bounded(path, func() (T, error) {
		f, err := os.Open(path)
		if err != nil {
			var none T
			return none, err
		}
		defer f.Close() //nolint:errcheck // read only
		return parse(f)
	})
}

// bounded runs read, but waits for it at most describeWait.
func bounded[T any](path string, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	a, ok := patience.Within(describeWait, func() answer {
		value, err := read()
		return answer{value, err}
	})
	if !ok {
		return a.value, fmt.Errorf("%s: %w", path, errHangs)
	}
	return a.value, a.err
}

// parseOnline returns the number of online CPUs.
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

// memTotal returns the memory that the kernel manages, in bytes.
func memTotal(proc string) (float64, error) {
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return 0, err
	}
	m, err := fs.Meminfo()
	if err != nil {
		return 0, err
	}
	if m.MemTotalBytes == nil {
		return 0, errors.New("no MemTotal in meminfo")
	}
	return float64(*m.MemTotalBytes), nil
}
