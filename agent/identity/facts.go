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

// facts is what /proc says about one process.
type facts struct {
	stat
	cgroup string
	exe    patience.FileID
	link   string // the executable's path; "" when it may not be read
	said
	unread bool // there may be an argv
}

// A stat is what /proc/PID/stat says, with the name of the process.
type stat struct {
	sampler.Stat
	comm string
}

// said is what may be known of a process's arguments.
type said struct {
	executable string // the program's name
	command    string
	silent     bool // there are none, as of a zombie
}

// source reads /proc, wherever it is mounted.
type source struct {
	proc  string
	begin string // where headroom's cgroup namespace begins, see cgroupOf
	calls *patience.Patience
}

func (s source) path(pid int, file string) string {
	return filepath.Join(s.proc, strconv.Itoa(pid), file)
}

// maxRead bounds what is read of one file: class paths of Java servers reach
// tens of kilobytes and the main class comes after them.
const maxRead = 64 << 10

var buffers = sync.Pool{New: func() any { return new([maxRead]byte) }}

// read hands the beginning of a file to use, which must not keep it: it is
// cleared, for it may hold secrets.
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

// link returns the executable's path, "" for a kernel thread, a zombie, or
// another user's process.
func (s source) link(pid int) string {
	link, err := os.Readlink(s.path(pid, "exe"))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(link, " (deleted)")
}

// call is a call that can hang, and what is not known when it does.
func (s source) call(pid int, file, lost string) patience.Call {
	return patience.Call{Source: "process", PID: pid, File: file, Lost: lost}
}

// said reads arguments: none for kernel threads and zombies. ok is false where
// they cannot be read because the process's memory is locked. They stay within
// the buffer.
func (s source) said(pid int, f *facts, known string) (says said, ok bool) {
	comm, link := f.comm, f.link
	return patience.Ask(s.calls, s.call(pid, patience.Cmdline, "what it was started to run"), func() said {
		says := said{silent: true}
		says.executable = cmdline.Executable(link, comm, "")
		says.command = says.executable
		_ = s.read(pid, "cmdline", func(b []byte) { //nolint:errcheck // no argv is an answer
			argv := argvOf(b)
			if says.silent = len(argv) == 0; says.silent {
				return
			}
			says.executable = cmdline.Executable(link, comm, argv[0])
			says.command = cmdline.Namer{Files: patient{source: s, pid: pid, exe: link}, Known: known}.Command(says.executable, argv)
		})
		return says
	})
}

// facts reads everything; an error means that the process is gone. known is what
// it was found to run before.
func (s source) facts(pid int, known string) (facts, error) {
	st, err := s.stat(pid)
	if err != nil {
		return facts{}, err
	}
	f := facts{stat: st}
	if f.cgroup, err = s.cgroup(pid); err != nil {
		f.cgroup = "/" // a kernel without cgroups, or gone: the next reading tells
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
	says, ok := s.said(pid, &f, known)
	if !ok {
		says = said{executable: cmdline.Executable(f.link, f.comm, ""), silent: true}
		says.command = says.executable
	}
	f.said, f.unread = says, !ok
	return f, nil
}

func (f *facts) kernel() bool { return f.Kernel() }
func (f *facts) forked() bool { return f.Flags&sampler.TaskForked != 0 }

// blank reports whether nothing but a name can be read, as of a zombie.
func (f *facts) blank() bool { return f.link == "" && f.silent && !f.kernel() }
