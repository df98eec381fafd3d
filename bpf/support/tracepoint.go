// SPDX-License-Identifier: Apache-2.0

package support

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/refusal"
)

// A Tracepoint is a tracepoint opened with perf_event_open. It is not a BPF link,
// because tracepoints support these only since 5.15.
type Tracepoint struct{ fd int }

// Close detaches the program.
func (t Tracepoint) Close() error { return unix.Close(t.fd) }

// Run runs prog at each hit of t, on every CPU, until t is closed.
func (t Tracepoint) Run(prog *ebpf.Program) error {
	if err := unix.IoctlSetInt(t.fd, unix.PERF_EVENT_IOC_SET_BPF, prog.FD()); err != nil {
		return fmt.Errorf("PERF_EVENT_IOC_SET_BPF: %w", err)
	}
	if err := unix.IoctlSetInt(t.fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return fmt.Errorf("PERF_EVENT_IOC_ENABLE: %w", err)
	}
	return nil
}

// OpenSyscalls opens the tracepoint of each system call; where is "enter" or "exit".
// Calls that an architecture or a kernel lacks are skipped. It is an error if none is
// left.
func OpenSyscalls(where string, calls []string) ([]Tracepoint, *Unsupported) {
	dir, err := openTracefs()
	if err != nil {
		return nil, noTracefs(err)
	}
	defer dir.Close() //nolint:errcheck // read only
	var opened []Tracepoint
	for _, call := range calls {
		id, err := tracepointID(dir, "syscalls/sys_"+where+"_"+call)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			_ = CloseAll(opened) //nolint:errcheck // nothing ran there yet
			return nil, noTracefs(err)
		}
		t, err := openTracepoint(id)
		if err != nil {
			_ = CloseAll(opened) //nolint:errcheck // nothing ran there yet
			return nil, noTracepoint(err)
		}
		opened = append(opened, t)
	}
	if len(opened) == 0 {
		return nil, &Unsupported{Reason: "no tracepoints of system calls", Cure: "use a kernel built with CONFIG_FTRACE_SYSCALLS=y"}
	}
	return opened, nil
}

// CloseAll closes all tracepoints.
func CloseAll(tracepoints []Tracepoint) error {
	var errs []error
	for _, t := range tracepoints {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

func openTracepoint(id uint64) (Tracepoint, error) {
	attr := unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_TRACEPOINT,
		Config:      id,
		Sample_type: unix.PERF_SAMPLE_RAW,
		Sample:      1,
		Wakeup:      1,
	}
	attr.Size = uint32(unix.PERF_ATTR_SIZE_VER0)
	// The CPU does not matter: the program runs on whichever CPU hits the tracepoint.
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	return Tracepoint{fd}, err
}

// openTracefs opens the root of tracefs. If it is not mounted, openTracefs mounts
// it detached: no mount table shows it, and closing the file unmounts it.
func openTracefs() (*os.File, error) {
	var denied error
	for _, dir := range []string{tracefs, "/sys/kernel/debug/tracing"} {
		f, err := os.Open(dir)
		switch {
		case err == nil && isTracefs(f):
			return f, nil
		case err == nil:
			f.Close()
		case dir == tracefs && !errors.Is(err, fs.ErrNotExist):
			denied = err
		}
	}
	f, err := mountTracefs()
	if err != nil && denied != nil {
		return nil, denied
	}
	return f, err
}

const tracefs = "/sys/kernel/tracing"

// noTracefs explains why tracefs, which has the numbers of tracepoints, cannot be
// read.
func noTracefs(err error) *Unsupported {
	u := &Unsupported{Reason: "tracepoints cannot be looked up: " + err.Error(), Err: err}
	own := refusal.Own()
	missing := own.Missing(refusal.DACReadSearch)
	var path *fs.PathError
	switch limit := refusal.Limit(err); {
	case limit != nil:
		u.Reason, u.Cure = limit.Reason, limit.Fix
	case errors.As(err, &path) && errors.Is(err, fs.ErrPermission) && len(missing) > 0:
		u.Cure = own.Grant(missing)
	case errors.Is(err, unix.ENODEV):
		u.Cure = "use a kernel built with CONFIG_FTRACE=y"
	default:
		u.Cure = "mount it: mount -t tracefs tracefs " + tracefs + ", and in a container mount that directory of the host too"
	}
	return u
}

// noTracepoint explains why perf_event_open(2) failed.
func noTracepoint(err error) *Unsupported {
	if r := refusal.OpenTracepoints.Explain(err); r != nil {
		return &Unsupported{Reason: r.Reason, Cure: r.Fix, Err: err}
	}
	u := &Unsupported{Reason: "perf_event_open(2) failed: " + err.Error(), Err: err}
	if errors.Is(err, fs.ErrPermission) {
		u.Reason = "perf_event_open(2) is not permitted, although headroom has " + refusal.Perfmon.Name
		u.Cure = "sysctl kernel.perf_event_paranoid=2, or grant " + refusal.SysAdmin.Name // some distributions have a level above 2
	}
	return u
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
		return 0, &fs.PathError{Op: "open", Path: filepath.Join(tracefs, path), Err: err}
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
