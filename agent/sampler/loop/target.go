// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// targets resolves the targets of system calls: paths, file systems, and the process at
// the other end. It reads links and tables of /proc and never a file itself.
type targets struct {
	host  *sampler.Host
	proc  procDir
	types map[device]string // of file systems
	pipes *pipes
}

// A device is the device number of a file system.
type device struct{ major, minor uint32 }

func newTargets(host *sampler.Host) *targets {
	proc := procDir(host.Proc)
	return &targets{host: host, proc: proc, types: make(map[device]string), pipes: newPipes(proc)}
}

// lookForPeers continues to search for the other ends of pipes.
func (t *targets) lookForPeers() { t.pipes.look() }

// targetKey returns the key by which bpf/tick counts targets together: key_of in
// bpf/lib/target.bpf.h.
func targetKey(v tick.Target) string {
	switch v.Kind {
	case tick.FileTarget:
		return fmt.Sprintf("%s:%d:%d", catalog.TargetFile, v.Major, v.Minor)
	case tick.PipeTarget:
		return fmt.Sprintf("%s:%d", catalog.TargetPipe, v.FD)
	case tick.InetTarget:
		return fmt.Sprintf("%s:%s:%d:%t:%t", catalog.TargetInet, v.Peer, v.Port, v.Served, v.Local)
	}
	return targetNames[v.Kind]
}

var targetNames = map[tick.TargetKind]string{
	tick.FileTarget: catalog.TargetFile, tick.PipeTarget: catalog.TargetPipe, tick.DeviceTarget: catalog.TargetDevice,
	tick.InetTarget: catalog.TargetInet, tick.UnixTarget: catalog.TargetUnix, tick.OtherTarget: catalog.TargetOther,
}

// attrs describes a system call of pid and its target.
func (t *targets) attrs(pid int, nr int32, v tick.Target) map[string]string {
	a := map[string]string{catalog.AttrCall: callName(nr)}
	if v.Kind == tick.NoTarget {
		return a
	}
	a[catalog.AttrTarget] = targetNames[v.Kind]
	if v.FD >= 0 {
		a[catalog.AttrFD] = strconv.Itoa(int(v.FD))
	}
	switch v.Kind {
	case tick.FileTarget:
		set(a, catalog.AttrFilesystem, t.filesystem(pid, device{v.Major, v.Minor}))
		path, flags := t.opened(pid, v)
		set(a, catalog.AttrFile, path)
		if isWrite(callName(nr)) {
			set(a, catalog.AttrWaitsForDisk, waitsForDisk(flags))
		}
	case tick.PipeTarget:
		path, _ := t.opened(pid, v) // of a FIFO
		id := pipeID{inode: v.Inode}
		if path != "" {
			id.name = filepath.Base(path)
		}
		t.peer(a, t.pipes.peer(pid, strings.HasPrefix(callName(nr), "read") || isPoll(callName(nr)), id))
		set(a, catalog.AttrFile, path)
	case tick.UnixTarget:
		if v.PeerPID != pid { // the pid of a socket pair is its creator's
			t.peer(a, v.PeerPID)
		}
	case tick.InetTarget:
		inet(a, v)
	}
	return a
}

func set(attrs map[string]string, key, value string) {
	if value != "" {
		attrs[key] = value
	}
}

func inet(attrs map[string]string, v tick.Target) {
	if v.Served {
		attrs[catalog.AttrServed] = "true"
		attrs[catalog.AttrPort] = strconv.Itoa(int(v.Port))
		return
	}
	attrs[catalog.AttrDestPort] = strconv.Itoa(int(v.Port))
	switch {
	case v.Peer.IsValid():
		attrs[catalog.AttrDestination] = v.Peer.String()
	case v.Local:
		attrs[catalog.AttrDestination] = "::1"
	}
}

// peer sets the attributes of the process at the other end.
func (t *targets) peer(attrs map[string]string, pid int) {
	if pid <= 0 {
		return
	}
	comm, err := os.ReadFile(t.proc.file(pid, "comm"))
	if err != nil {
		return
	}
	attrs[catalog.AttrPeerName] = strings.TrimSuffix(string(comm), "\n")
	if id, ok := t.host.Identity.Current(pid); ok && id != observe.None {
		attrs[catalog.AttrPeer] = t.host.Index.Entity(id).ID
	}
}

func isPoll(call string) bool { return call == "poll" || call == "ppoll" }

func isWrite(call string) bool {
	return strings.HasPrefix(call, "write") || strings.HasPrefix(call, "pwrite")
}

// waitsForDisk returns the flag of open(2) because of which each write to a file waits
// until the disk has the data, "" if there is none.
func waitsForDisk(flags int) string {
	switch {
	case flags&unix.O_SYNC == unix.O_SYNC: // has the bit of O_DSYNC
		return "O_SYNC"
	case flags&unix.O_DSYNC != 0:
		return "O_DSYNC"
	case flags&unix.O_DIRECT != 0:
		return "O_DIRECT"
	}
	return ""
}

// longestPath limits the length of a path.
const longestPath = 256

// opened returns the path of a file as pid sees it, and the flags with which it is
// open; "" and 0 if the file is no longer open or the descriptor refers to another file
// now.
func (t *targets) opened(pid int, v tick.Target) (path string, flags int) {
	if v.FD < 0 {
		return t.mapped(pid, v), 0
	}
	fd := strconv.Itoa(int(v.FD))
	info, ok := t.proc.descriptor(pid, fd)
	if !ok || info.inode != 0 && info.inode != v.Inode {
		return "", 0
	}
	link, err := os.Readlink(t.proc.file(pid, "fd/"+fd))
	if err != nil || !strings.HasPrefix(link, "/") || len(link) > longestPath {
		return "", info.flags
	}
	return link, info.flags
}

// mapped returns the path of a file that pid has mapped. Reading its mappings
// waits for a lock on its memory.
func (t *targets) mapped(pid int, v tick.Target) string {
	ask := patience.Call{Source: "loop", Lost: "which mapped file an event loop waits for", PID: pid, File: "maps"}
	path, _ := patience.Ask(t.host.Patience, ask, func() string {
		f, err := os.Open(t.proc.file(pid, "maps"))
		if err != nil {
			return ""
		}
		defer f.Close() //nolint:errcheck // read only
		return mappedPath(f, v)
	})
	if len(path) > longestPath {
		return ""
	}
	return path
}

// mappedPath finds the path of a file in /proc/PID/maps.
//
//	7f2c4a000000-7f2c4a021000 r--s 00000000 00:2f 57   /mnt/model.bin
func mappedPath(maps io.Reader, v tick.Target) string {
	const columns = 6
	if v.Inode == 0 {
		return "" // memory without a file
	}
	at := fmt.Sprintf(" %02x:%02x %d ", v.Major, v.Minor, v.Inode)
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), at) {
			continue
		}
		if fields := strings.Fields(lines.Text()); len(fields) >= columns {
			_, path, _ := strings.Cut(lines.Text(), at)
			return strings.TrimLeft(path, " ")
		}
	}
	return ""
}

// filesystem returns the type of the file system on a device.
func (t *targets) filesystem(pid int, d device) string {
	if name, ok := t.types[d]; ok {
		return name
	}
	f, err := os.Open(t.proc.file(pid, "mountinfo"))
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	name, err := filesystemType(f, d)
	if err != nil {
		return ""
	}
	t.types[d] = name
	return name
}

var errNotMounted = errors.New("no such file system is mounted")

// filesystemType finds a type in /proc/PID/mountinfo.
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
func filesystemType(mountinfo io.Reader, d device) (string, error) {
	const deviceColumn = 2
	want := fmt.Sprintf("%d:%d", d.major, d.minor)
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		mount, rest, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(mount)
		if !ok || len(fields) <= deviceColumn || fields[deviceColumn] != want {
			continue
		}
		name, _, _ := strings.Cut(rest, " ")
		return name, nil
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", errNotMounted
}
