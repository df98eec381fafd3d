// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/procread"
)

// A call is a system call in which a thread waits for something outside of its process.
type call struct {
	name, kind string // kind is catalog.TargetFile …
	file       string // of a file
	peer       netip.AddrPort
	lock       lock   // of a futex
	thread     thread // that is in it, if it holds a lock
}

func (c call) attrs() map[string]string {
	a := make(map[string]string)
	for key, value := range map[string]string{catalog.AttrCall: c.name, catalog.AttrTarget: c.kind, catalog.AttrLock: c.lock.kind,
		catalog.AttrTID: c.thread.id, catalog.AttrThreadName: c.thread.name} {
		if value != "" {
			a[key] = value
		}
	}
	if c.file != "" {
		a[catalog.AttrFile] = c.file
	}
	if c.peer.IsValid() {
		a[catalog.AttrDestination] = c.peer.Addr().String()
		a[catalog.AttrDestPort] = strconv.Itoa(int(c.peer.Port()))
	}
	return a
}

// onDescriptor are the calls whose first argument is the descriptor that they wait for.
// Other calls say nothing: an idle thread waits in a futex, in epoll_wait or in accept.
var onDescriptor = []string{"read", "readv", "pread64", "preadv", "recvfrom", "recvmsg", "write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg",
	"sendfile", "connect", "getdents64", "fsync", "fdatasync", "flock"}

// reading are those of them in which idle threads wait too, for example for a job in a pipe.
var reading = []string{"read", "readv"}

// polling are the calls whose first argument is a list of descriptors. One that waits for
// a single descriptor is named: a resolver waits for its DNS server this way.
var polling = []string{"poll", "ppoll"}

// onPath are calls about a file that has no descriptor yet. No idle thread is in one.
var onPath = []string{"open", "openat", "stat", "newfstatat", "statx", "access", "faccessat2", "unlink", "unlinkat", "rename", "renameat2", "mkdir",
	"mkdirat", "readlink"}

// A procDir is the folder at which procfs is mounted.
type procDir string

func (d procDir) file(pid int, names ...string) string {
	return filepath.Join(append([]string{string(d), strconv.Itoa(pid)}, names...)...)
}

// calls returns the calls in which threads of a process wait, and how many are in each.
func (d procDir) calls(p *patience.Patience, pid int) map[call]int {
	in := make(map[call]int)
	var table sockets
	for _, tid := range d.threads(pid) {
		c, sleeps := procread.ReadCall(d.file(pid, "task", tid, "syscall"))
		if !sleeps {
			continue
		}
		if what, ok := d.resolve(p, pid, c, &table); ok {
			in[what]++
		}
	}
	return in
}

// threads returns the IDs of threads of a process; none if it has ended.
func (d procDir) threads(pid int) []string {
	dir, err := os.Open(d.file(pid, "task"))
	if err != nil {
		return nil
	}
	defer dir.Close() //nolint:errcheck // read only
	tids, _ := dir.Readdirnames(maxThreads)
	return tids
}

// resolve returns what a call waits for; ok is false if an idle thread can be in it. table
// is read when it is needed.
func (d procDir) resolve(p *patience.Patience, pid int, c procread.Call, table *sockets) (in call, ok bool) {
	name := c.Name()
	if slices.Contains(onPath, name) {
		return call{name: name, kind: catalog.TargetFile}, true
	}
	fd, ok := descriptor(p, pid, c)
	if !ok {
		return in, false
	}
	link, err := os.Readlink(d.file(pid, "fd", strconv.Itoa(fd)))
	if err != nil {
		return in, false
	}
	if strings.HasPrefix(link, socketLink) && *table == nil {
		*table = d.sockets(pid)
	}
	return target(name, link, *table)
}

// descriptor returns the descriptor for which a call waits.
func descriptor(p *patience.Patience, pid int, c procread.Call) (fd int, ok bool) {
	name := c.Name()
	switch {
	case slices.Contains(onDescriptor, name):
		fd, ok = int(c.Args[0]), true
	case slices.Contains(polling, name) && c.Args[1] == 1:
		fd, ok = polled(p, pid, c.Args[0])
	}
	return fd, ok
}

// polled reads the descriptor of a struct pollfd.
func polled(p *patience.Patience, pid int, at uint64) (fd int, ok bool) {
	ask := patience.Call{Source: "requests", Lost: "what a thread polls while requests wait", PID: pid, File: "mem"}
	fd, answered := patience.Ask(p, ask, func() int {
		var v unix.PollFd
		if !readMemory(pid, at, unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v))) {
			return -1
		}
		return int(v.Fd)
	})
	return fd, answered && fd >= 0
}

const socketLink = "socket:["

// target describes a call on what a descriptor links to; ok is false if an idle thread
// can be in it.
//
//	/data/shop.db
//	pipe:[1234]
//	socket:[1234]
//	anon_inode:[eventpoll]
func target(name, link string, table sockets) (c call, ok bool) {
	c.name = name
	switch {
	case strings.HasPrefix(link, "pipe:["):
		c.kind = catalog.TargetPipe
		return c, !slices.Contains(reading, name) && !slices.Contains(polling, name)
	case strings.HasPrefix(link, socketLink):
		inode, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(link, socketLink), "]"), 10, 64)
		c.peer, ok = table[inode]
		c.kind = catalog.TargetInet
		return c, err == nil && ok
	case strings.HasPrefix(link, "/dev/"), !strings.HasPrefix(link, "/"):
		return c, false
	}
	const longest = 256
	c.kind = catalog.TargetFile
	if len(link) <= longest {
		c.file = link
	}
	return c, !slices.Contains(polling, name)
}

// sockets has the other ends of the sockets of a network namespace, by inode. Those of
// clients are left out: a thread that waits for the next request is idle.
type sockets map[uint64]netip.AddrPort

func (d procDir) sockets(pid int) sockets {
	table := make(sockets)
	rows, err := procread.TCPSockets(d.file(pid))
	if err != nil {
		return table
	}
	served := make(map[uint16]bool)
	for _, row := range rows {
		if row.State == procread.Listening {
			served[row.Local.Port()] = true
		}
	}
	for _, row := range rows {
		if !served[row.Local.Port()] && row.Remote.Port() != 0 {
			table[row.Inode] = row.Remote
		}
	}
	fs, err := procfs.NewFS(d.file(pid))
	if err != nil {
		return table
	}
	for _, read := range []func() (procfs.NetUDP, error){fs.NetUDP, fs.NetUDP6} {
		rows, _ := read()
		for _, row := range rows {
			table.add(row.Inode, row.RemAddr, row.RemPort)
		}
	}
	return table
}

// add adds a connected socket.
func (t sockets) add(inode uint64, address net.IP, port uint64) {
	if a, ok := netip.AddrFromSlice(address); ok && port != 0 {
		t[inode] = netip.AddrPortFrom(a.Unmap(), uint16(port))
	}
}
