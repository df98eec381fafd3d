// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// maxLooks bounds the processes whose descriptors are listed at one reading.
	maxLooks = 8
	// maxDescriptors bounds the descriptors that are looked at of one process.
	// A listener is opened before its connections and so has a low number.
	maxDescriptors = 1024
	// listenEvery is how long a new listener may go unnoticed, and
	// listenYoung how long in a process that may still be starting.
	listenEvery = 60 * time.Second
	listenYoung = 5 * time.Second
	// socketsFor is how long the sockets of a network namespace are remembered.
	socketsFor = 5 * time.Second
	// maxNamespaces bounds that memory: one per pod of a full node.
	maxNamespaces = 300
)

// listening is what is remembered of one process.
type listening struct {
	count  int
	inodes []uint64
	known  bool
	next   time.Duration // boot time of the next look
}

// listeners counts listening sockets by comparing a process's descriptors
// with the sockets of its network namespace.
type listeners struct {
	looks      int // at this reading
	round      int
	namespaces map[uint64]*sockets
	backlog    backlog
}

type sockets struct {
	at        time.Duration
	listening map[uint64]bool // inodes
}

func newListeners() *listeners {
	return &listeners{namespaces: make(map[uint64]*sockets)}
}

// write counts p's listeners if its turn has come, and writes the last count.
func (l *listeners) write(s *observe.Snapshot, r *reader, p *process) {
	if l.round != r.round {
		l.round, l.looks = r.round, 0
	}
	if r.now >= p.listens.next && l.looks < maxLooks && r.mayListen(p) {
		l.looks++
		p.listens.next = r.now + listenEvery
		if r.now-time.Duration(p.start)*userTick < listenEvery {
			p.listens.next = r.now + listenYoung
		}
		p.listens.inodes, p.listens.known = l.find(r, p)
		p.listens.count = len(p.listens.inodes)
	}
	if p.listens.known {
		s.Set(catalog.ProcessListens, p.id, float64(p.listens.count))
		l.backlog.write(s, r, p)
	}
}

// mayListen says whether a process is worth the look: one of the runtimes that
// have event loops, or one that does anything at all.
func (r *reader) mayListen(p *process) bool {
	return !p.kernel && (p.share >= active || r.index.Attr(p.id, catalog.AttrRuntime) != "")
}

// find returns the inodes of p's listening sockets.
func (l *listeners) find(r *reader, p *process) (inodes []uint64, ok bool) {
	ns := l.of(r, p.pid)
	if ns == nil {
		return nil, false
	}
	dir, err := unix.Open(r.files.pid(p.pid, "fd"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false // another user's
	}
	defer unix.Close(dir) //nolint:errcheck // read only
	seen := 0
	err = numbers(dir, make([]byte, 8<<10), func(fd int) bool {
		if inode, ok := socket(dir, fd); ok && ns.listening[inode] {
			inodes = append(inodes, inode)
		}
		seen++
		return seen < maxDescriptors
	})
	return inodes, err == nil
}

// socket returns the inode of a descriptor that is a socket.
//
//	3 -> socket:[123456]
func socket(dir, fd int) (inode uint64, ok bool) {
	var buf [64]byte
	n, err := unix.Readlinkat(dir, strconv.Itoa(fd), buf[:])
	if err != nil {
		return 0, false
	}
	number, ok := bytes.CutPrefix(buf[:n], []byte("socket:["))
	return digits(number), ok
}

// of returns the listening sockets of a process's network namespace.
func (l *listeners) of(r *reader, pid int) *sockets {
	var st unix.Stat_t
	if unix.Stat(r.files.pid(pid, "ns/net"), &st) != nil {
		return nil
	}
	ns := l.namespaces[st.Ino]
	if ns != nil && r.now-ns.at < socketsFor {
		return ns
	}
	if len(l.namespaces) >= maxNamespaces {
		clear(l.namespaces)
	}
	ns = &sockets{at: r.now, listening: make(map[uint64]bool)}
	l.namespaces[st.Ino] = ns
	for file, parse := range map[string]func(io.Reader, map[uint64]bool) error{"tcp": parseTCP, "tcp6": parseTCP, "unix": parseUnix} {
		if f, err := os.Open(r.files.pid(pid, "net/"+file)); err == nil {
			_ = parse(f, ns.listening) //nolint:errcheck // what could be read counts
			_ = f.Close()              //nolint:errcheck // read only
		}
	}
	return ns
}

// parseTCP adds the inodes of listening sockets. The kernel lists them before
// all others (tcp_seek_last_pos in net/ipv4/tcp_ipv4.c), so that it stops at
// the first that does not listen.
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//	 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 123456 1 …
func parseTCP(r io.Reader, inodes map[uint64]bool) error {
	const listen = "0A"
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 {
			return fmt.Errorf("socket table: %w", errTruncated)
		}
		if f[3] != listen {
			return nil
		}
		inodes[digits([]byte(f[9]))] = true
	}
	return lines.Err()
}

// parseUnix adds the inodes of Unix sockets that accept connections: a flag
// (__SO_ACCEPTCON in include/uapi/linux/net.h).
//
//	Num       RefCount Protocol Flags    Type St Inode Path
//	0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/x.sock
func parseUnix(r io.Reader, inodes map[uint64]bool) error {
	const accepts = 1 << 16
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 7 {
			return fmt.Errorf("socket table: %w", errTruncated)
		}
		flags, err := strconv.ParseUint(f[3], 16, 64)
		if err == nil && flags&accepts != 0 {
			inodes[digits([]byte(f[6]))] = true
		}
	}
	return lines.Err()
}
