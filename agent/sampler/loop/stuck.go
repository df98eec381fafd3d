// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"bufio"
	"bytes"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/procread"
	"github.com/headroom-project/headroom/bpf/tick"
)

// This file decides, from /proc alone, whether a process has an event loop that
// does not wait, and which thread runs it.

// mainLoops are the runtimes whose loop always runs on the main thread.
var mainLoops = []string{"node", "bun", "deno", "redis", "python"}

// waitCalls are the system calls in which a server waits for its clients.
var waitCalls = []string{"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "io_uring_enter", "accept", "accept4"}

const (
	// maxDescriptors limits the search for epoll instances: a loop creates it when
	// it starts, so it has a low number.
	maxDescriptors = 256
	// maxThreads limits the threads of a process that are read.
	maxThreads = 256
	// busyShare is the minimum share of the time for which a thread that hangs on the
	// CPU runs or waits for a CPU.
	busyShare = 0.8
)

// stuck returns a process whose loop does not wait, or nil.
func (r *reader) stuck(pid int, runtime string, served sockets) *hanging {
	if runtime == "go" {
		return nil // its threads run goroutines in turn
	}
	tids := r.tids(pid)
	onMain := len(tids) == 1 || slices.Contains(mainLoops, runtime)
	waited, waits := r.waitedOn(pid, tids)
	if len(tids) == 0 || onMain && waits[pid] {
		return nil
	}
	d := r.descriptors(pid)
	if len(d.epolls) == 0 && !onMain {
		return nil
	}
	h := &hanging{pid: pid, kind: tick.Epoll}
	watched := r.watched(pid, d.epolls)
	for epfd, targets := range watched {
		if !waited[epfd] && !isNested(watched, epfd) && (onMain && runtime != "" || served.any(r, pid, d.inodes(targets))) {
			h.unwaited = append(h.unwaited, epfd)
		}
	}
	switch {
	case d.onlyRing():
		return nil // it waits in io_uring_enter, which the probe would not see
	case len(d.epolls) == 0 && served.any(r, pid, d.all()) && !r.sharesSocket(pid, d):
		h.kind = tick.Poll
	case len(h.unwaited) == 0:
		return nil
	}
	if onMain {
		tids = []int{pid}
	} else if runtime == "jvm" {
		tids = slices.DeleteFunc(tids, func(tid int) bool { return r.isHotSpots(pid, tid) })
	}
	h.threads = make(map[int]times, len(tids))
	for _, tid := range tids {
		if t, ok := r.times(pid, tid); ok && !waits[tid] {
			h.threads[tid] = t
		}
	}
	h.from = time.Now()
	return h
}

// hangingThread returns the thread of h that runs the loop, and what it has used since
// h.from: the only candidate, the only one that is busy, or the only one that is blocked
// in anything other than a lock, as idle threads are. Otherwise it returns 0.
func (r *reader) hangingThread(h *hanging, elapsed float64) (int, times) {
	used := make(map[int]times)
	var busy, blocked []int
	for tid, from := range h.threads {
		t, ok := r.times(h.pid, tid)
		if !ok {
			continue
		}
		u := times{t.cpu - from.cpu, t.run - from.run}
		used[tid] = u
		call, inCall := r.inSyscall(h.pid, tid)
		switch {
		case u.cpu+u.run >= busyShare*elapsed:
			busy = append(busy, tid)
		case inCall && call.Name() != "futex" && !slices.Contains(waitCalls, call.Name()):
			blocked = append(blocked, tid)
		}
	}
	for _, tids := range [][]int{slices.Collect(maps.Keys(used)), busy, blocked} {
		if len(tids) == 1 {
			return tids[0], used[tids[0]]
		}
	}
	return 0, times{}
}

// hotSpot are the beginnings of the names of HotSpot's own threads, which the kernel cuts
// to 15 bytes. They wait for a lock, as a thread in Thread.sleep seems to.
var hotSpot = []string{"GC Thread#", "G1 ", "Parallel ", "ParGC ", "Shenandoah", "ZWorker", "ZDriver", "ZDirector", "ZStat", "ZUncommitter", "ZUnmapper",
	"VM Thread", "VM Periodic Tas", "Reference Handl", "Finalizer", "Signal Dispatch", "Service Thread", "Monitor Deflati", "C1 Compiler", "C2 Compiler",
	"Sweeper thread", "Notification Th", "Common-Cleaner", "Attach Listener", "JFR ", "StringDedup"}

// isHotSpots reports whether a thread of a JVM runs no code of the application: it is one
// of HotSpot's, or the first one, which starts the thread of main and waits for its end.
func (r *reader) isHotSpots(pid, tid int) bool {
	if tid == pid {
		return true
	}
	comm, err := os.ReadFile(r.proc.task(pid, tid, "comm"))
	return err == nil && slices.ContainsFunc(hotSpot, func(name string) bool { return strings.HasPrefix(string(comm), name) })
}

// tids returns the threads of a process.
func (r *reader) tids(pid int) []int {
	names, _ := readNames(r.proc.file(pid, "task"), maxThreads)
	var tids []int
	for _, name := range names {
		if tid, err := strconv.Atoi(name); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}

// inSyscall returns the system call that a thread sleeps in.
func (r *reader) inSyscall(pid, tid int) (procread.Call, bool) {
	return procread.ReadCall(r.proc.task(pid, tid, "syscall"))
}

// waitCall returns the system call in which a thread waits for clients, and its first
// argument. The call is empty if the thread does not wait for them.
func (r *reader) waitCall(pid, tid int) (name string, arg int32) {
	c, ok := r.inSyscall(pid, tid)
	if !ok || !slices.Contains(waitCalls, c.Name()) {
		return "", 0
	}
	return c.Name(), int32(c.Args[0])
}

// waitedOn returns the epoll instances that threads wait on, and the threads that wait.
func (r *reader) waitedOn(pid int, tids []int) (epfds map[int32]bool, waits map[int]bool) {
	epfds, waits = make(map[int32]bool), make(map[int]bool)
	for _, tid := range tids {
		name, arg := r.waitCall(pid, tid)
		if name == "" {
			continue
		}
		waits[tid] = true
		if strings.HasPrefix(name, "epoll") {
			epfds[arg] = true
		}
	}
	return epfds, waits
}

// times returns the CPU and run-queue times of a thread.
//
//	1234567890 4567890 123
func (r *reader) times(pid, tid int) (times, bool) {
	b, err := os.ReadFile(r.proc.task(pid, tid, "schedstat"))
	fields := bytes.Fields(b)
	if err != nil || len(fields) < 2 {
		return times{}, false
	}
	cpu, err1 := strconv.ParseFloat(string(fields[0]), 64)
	run, err2 := strconv.ParseFloat(string(fields[1]), 64)
	return times{cpu / 1e9, run / 1e9}, err1 == nil && err2 == nil
}

// opened has the open descriptors of a process.
type opened struct {
	sockets map[int32]uint64 // inode by descriptor
	epolls  []int32          // epoll instances
	ring    bool             // an io_uring
}

func (r *reader) descriptors(pid int) opened {
	d := opened{sockets: make(map[int32]uint64)}
	names, _ := readNames(r.proc.file(pid, "fd"), maxDescriptors)
	for _, name := range names {
		link, err := os.Readlink(r.proc.file(pid, "fd/"+name))
		fd, err2 := strconv.ParseInt(name, 10, 32)
		if err != nil || err2 != nil {
			continue
		}
		if inode, ok := strings.CutPrefix(link, "socket:["); ok {
			d.sockets[int32(fd)], _ = strconv.ParseUint(strings.TrimSuffix(inode, "]"), 10, 64)
		} else if link == "anon_inode:[eventpoll]" {
			d.epolls = append(d.epolls, int32(fd))
		} else if link == "anon_inode:[io_uring]" {
			d.ring = true
		}
	}
	return d
}

// onlyRing reports whether a process that waits for descriptors can do so in io_uring,
// and not in epoll.
func (d opened) onlyRing() bool { return d.ring && len(d.epolls) == 0 }

// watched returns the descriptors that each epoll instance watches. The kernel writes a
// line for each of them, however many connections there are.
func (r *reader) watched(pid int, epolls []int32) map[int32][]int32 {
	fds := make(map[int32][]int32, len(epolls))
	for _, epfd := range epolls {
		fds[epfd] = nil
		for _, fd := range procread.EpollTargets(r.proc.file(pid, "fdinfo/"+strconv.Itoa(int(epfd)))) {
			fds[epfd] = append(fds[epfd], int32(fd))
		}
	}
	return fds
}

// isNested reports whether another epoll instance watches epfd.
func isNested(watched map[int32][]int32, epfd int32) bool {
	for _, fds := range watched {
		if slices.Contains(fds, epfd) {
			return true
		}
	}
	return false
}

func (d opened) inodes(fds []int32) []uint64 {
	var inodes []uint64
	for _, fd := range fds {
		if inode, ok := d.sockets[fd]; ok {
			inodes = append(inodes, inode)
		}
	}
	return inodes
}

func (d opened) all() []uint64 {
	var inodes []uint64
	for _, inode := range d.sockets {
		inodes = append(inodes, inode)
	}
	return inodes
}

// sharesSocket reports whether the parent or a child also has one of the sockets open.
// The process is then a worker that serves one request at a time, or the parent of such
// workers, which does not serve requests itself.
func (r *reader) sharesSocket(pid int, d opened) bool {
	own := d.all()
	for _, relative := range append(r.proc.children(pid), r.parent(pid)) {
		for _, inode := range r.descriptors(relative).sockets {
			if slices.Contains(own, inode) {
				return true
			}
		}
	}
	return false
}

// sockets holds, by network namespace, the inodes of sockets that serve clients: those
// that listen and those that a listening one accepted.
type sockets map[string]map[uint64]bool

// maxSockets limits the lines that are read of each table.
const maxSockets = 100_000

// any reports whether one of the sockets of a process serves clients.
func (s sockets) any(r *reader, pid int, inodes []uint64) bool {
	if len(inodes) == 0 {
		return false
	}
	ns, err := os.Readlink(r.proc.file(pid, "ns/net"))
	if err != nil {
		return false
	}
	serving, ok := s[ns]
	if !ok {
		serving = r.serving(pid)
		s[ns] = serving
	}
	return slices.ContainsFunc(inodes, func(inode uint64) bool { return serving[inode] })
}

// serving reads the sockets of the network namespace of a process that serve clients.
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//	 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 …
//
// In the table of Unix sockets, those with a path serve:
//
//	ffff9d55: 00000002 00000000 00010000 0001 01 19540 /run/server.sock
func (r *reader) serving(pid int) map[uint64]bool {
	inodes, ports := make(map[uint64]bool), make(map[string]bool)
	type connection struct {
		port  string
		inode uint64
	}
	var connections []connection
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		r.eachSocket(pid, table, func(f []string) {
			if len(f) < 10 {
				return
			}
			_, port, _ := strings.Cut(f[1], ":")
			inode, err := strconv.ParseUint(f[9], 10, 64)
			switch {
			case err != nil:
			case f[3] == "0A": // TCP_LISTEN
				ports[port], inodes[inode] = true, true
			case f[3] == "01": // TCP_ESTABLISHED
				connections = append(connections, connection{port, inode})
			}
		})
	}
	for _, c := range connections {
		if ports[c.port] {
			inodes[c.inode] = true
		}
	}
	r.eachSocket(pid, "net/unix", func(f []string) {
		if len(f) > 7 {
			if inode, err := strconv.ParseUint(f[6], 10, 64); err == nil {
				inodes[inode] = true
			}
		}
	})
	return inodes
}

func (r *reader) eachSocket(pid int, table string, yield func(fields []string)) {
	f, err := os.Open(r.proc.file(pid, table))
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 0; n < maxSockets && lines.Scan(); n++ {
		yield(strings.Fields(lines.Text()))
	}
}
