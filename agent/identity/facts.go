// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/headroom-project/headroom/agent/cmdline"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/agent/sampler"
)

// facts holds what /proc reports about one process.
type facts struct {
	stat
	cgroup string
	exe    patience.FileID
	link   string // the executable's path; "" if it may not be read
	said
	unread bool // argv may exist, but was not read
}

// A stat holds the fields of /proc/PID/stat, and the name of the process.
type stat struct {
	sampler.Stat
	comm string
}

// said holds what may be published of a process's arguments.
type said struct {
	executable string // the program's name
	command    string
	program    string // see [cmdline.Namer.Program]
	silent     bool   // there are no arguments, as for a zombie
}

// A look says how to read a process: the names that it had before, and which cgroups are
// outside all containers and services.
type look struct {
	command, called string
	alone           func(cgroup string) bool
}

// source reads /proc, wherever it is mounted.
type source struct {
	proc  string
	begin string // root of headroom's cgroup namespace, see cgroupOf
	calls *patience.Patience
}

func (s source) path(pid int, file string) string {
	return filepath.Join(s.proc, strconv.Itoa(pid), file)
}

// maxRead is the maximum size read of one file: class paths of Java servers have
// tens of kilobytes, and the main class follows them.
const maxRead = 64 << 10

var buffers = sync.Pool{New: func() any { return new([maxRead]byte) }}

// read calls use with the beginning of a file. use must not keep it: it is cleared
// afterwards, because it may contain secrets.
func (s source) read(pid int, file string, use func([]byte)) error {
	f, err := os.Open(s.path(pid, file))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	buf := buffers.Get().(*[maxRead]byte)
	defer buffers.Put(buf)
	n, err := io.ReadFull(f, buf[:])
	defer clear(buf[:n])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	use(buf[:n])
	return nil
}

func (s source) stat(pid int) (stat, error) {
	var st stat
	var bad error
	err := s.read(pid, "stat", func(b []byte) {
		var comm []byte
		st.Stat, comm, bad = sampler.ParseStat(b)
		st.comm = string(comm)
	})
	return st, cmp.Or(err, bad)
}

func (s source) cgroup(pid int) (string, error) {
	var c string
	err := s.read(pid, "cgroup", func(b []byte) { c = cgroupOf(b, s.begin) })
	return c, err
}

// link returns the executable's path, "" for a kernel thread, a zombie, or a
// process of another user.
func (s source) link(pid int) string {
	link, err := os.Readlink(s.path(pid, "exe"))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(link, " (deleted)")
}

// call describes a read that can hang, and what is not known if it does.
func (s source) call(pid int, file, lost string) patience.Call {
	return patience.Call{Source: "process", PID: pid, File: file, Lost: lost}
}

// said reads the arguments: none for kernel threads and zombies. ok is false if
// they cannot be read because the process's memory is locked. The arguments do not
// leave the buffer.
func (s source) said(pid int, f *facts, l look) (says said, ok bool) {
	comm, link, alone := f.comm, f.link, l.alone(f.cgroup)
	return patience.Ask(s.calls, s.call(pid, patience.Cmdline, "what it was started to run"), func() said {
		says := said{silent: true}
		says.executable = cmdline.Executable(link, comm, "")
		says.command = says.executable
		_ = s.read(pid, "cmdline", func(b []byte) { //nolint:errcheck // no arguments is a valid result
			argv := argvOf(b)
			if says.silent = len(argv) == 0; says.silent {
				return
			}
			says.executable = cmdline.Executable(link, comm, argv[0])
			namer := cmdline.Namer{Files: patient{source: s, pid: pid, exe: link}, Known: l.command}
			says.command = namer.Command(says.executable, argv)
			switch {
			case !alone:
			case says.command == l.command && l.called != "":
				says.program = l.called // the release may have been removed since
			default:
				says.program = namer.Program(says.executable, argv, says.command)
			}
		})
		return says
	})
}

// facts reads all facts; an error means that the process is gone.
func (s source) facts(pid int, l look) (facts, error) {
	st, err := s.stat(pid)
	if err != nil {
		return facts{}, err
	}
	f := facts{stat: st}
	if f.cgroup, err = s.cgroup(pid); err != nil {
		f.cgroup = "/" // a kernel without cgroups, or the process is gone, which the next read detects
	}
	if f.kernel() {
		f.executable = printable.Name(f.comm, cmdline.MaxName)
		f.command = "[" + f.executable + "]"
		return f, nil
	}
	f.link = s.link(pid)
	if f.link != "" {
		f.exe, _ = s.calls.File(s.call(pid, patience.Exe, "which file it runs"))
	}
	says, ok := s.said(pid, &f, l)
	if !ok {
		says = said{executable: cmdline.Executable(f.link, f.comm, ""), silent: true}
		says.command = says.executable
	}
	f.said, f.unread = says, !ok
	return f, nil
}

func (f *facts) kernel() bool { return f.Kernel() }
func (f *facts) forked() bool { return f.Flags&sampler.TaskForked != 0 }

// blank reports whether only a name can be read, as for a zombie.
func (f *facts) blank() bool { return f.link == "" && f.silent && !f.kernel() }
