// SPDX-License-Identifier: Apache-2.0

package files

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// As in bpf/tick: probes import nothing of one another.

// perfEvent is a tracepoint opened by perf_event_open. A perf event rather than
// a BPF link, which tracepoints have from 5.15 on only.
type perfEvent struct{ fd int }

func (e perfEvent) Close() error { return unix.Close(e.fd) }

// run runs prog at each hit of e, on every CPU, until e is closed.
func (e perfEvent) run(prog *ebpf.Program) error {
	if err := unix.IoctlSetInt(e.fd, unix.PERF_EVENT_IOC_SET_BPF, prog.FD()); err != nil {
		return fmt.Errorf("PERF_EVENT_IOC_SET_BPF: %w", err)
	}
	if err := unix.IoctlSetInt(e.fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return fmt.Errorf("PERF_EVENT_IOC_ENABLE: %w", err)
	}
	return nil
}

func openTracepoint(id uint64) (perfEvent, error) {
	attr := unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_TRACEPOINT,
		Config:      id,
		Sample_type: unix.PERF_SAMPLE_RAW,
		Sample:      1,
		Wakeup:      1,
	}
	attr.Size = uint32(unix.PERF_ATTR_SIZE_VER0)
	// The CPU is a formality: the program runs wherever the tracepoint is hit.
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	return perfEvent{fd}, err
}

// openTracefs opens the root of tracefs. Where it is not mounted, a mount of
// our own that no mount table shows and that goes when the file is closed.
func openTracefs() (*os.File, error) {
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		if isTracefs(f) {
			return f, nil
		}
		f.Close()
	}
	return mountTracefs()
}

func isTracefs(f *os.File) bool {
	var s unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &s) == nil && s.Type == unix.TRACEFS_MAGIC
}

func mountTracefs() (*os.File, error) {
	fsfd, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("tracefs is not mounted, and fsopen: %w", err)
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, fmt.Errorf("tracefs is not mounted, and fsconfig: %w", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("tracefs is not mounted, and fsmount: %w", err)
	}
	return os.NewFile(uintptr(fd), "tracefs"), nil
}

// tracepointID reads events/NAME/id.
func tracepointID(dir *os.File, name string) (uint64, error) {
	path := "events/" + name + "/id"
	fd, err := unix.Openat(int(dir.Fd()), path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("tracefs %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return parseID(f)
}

// parseID parses the number of a tracepoint.
//
//	824
func parseID(r io.Reader) (uint64, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}
