// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"bytes"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// maxLooks is the maximum number of processes whose descriptors are searched in
	// one pass.
	maxLooks = 8
	// maxDescriptors is the maximum number of descriptors searched of one process. A
	// listener is opened before its connections and so has a low number.
	maxDescriptors = 1024
	// listenEvery is the maximum time until a new listener is found, listenYoung the
	// same for a process that may still be starting.
	listenEvery = 60 * time.Second
	listenYoung = 5 * time.Second
	// socketsFor is how long the sockets of a network namespace are cached.
	socketsFor = 5 * time.Second
	// maxNamespaces limits that cache: one per pod of a full node.
	maxNamespaces = 300
	// active is the share of a core from which a process is searched. It excludes
	// processes that only wake up once a second.
	active = 0.001
)

// listens holds the listening sockets found for one process.
type listens struct {
	sockets []socket
	known   bool
	next    time.Duration // boot time of the next search
}

// listening finds listening sockets by comparing a process's descriptors with
// the sockets of its network namespace.
type listening struct {
	proc       string
	reader     *reader
	looks      int // searches in this pass
	namespaces map[uint64]*sockets
	backlog    backlog
	ownNetNS   uint64              // inode of headroom's own network namespace
	asked      map[uint64]listener // its listeners in this pass; nil before the first use
	somaxconn  uint32              // its net.core.somaxconn in this pass, 0 if not known
}

// sockets holds the listening sockets of one network namespace, by inode.
type sockets struct {
	at        time.Duration
	listening map[uint64]listener
}

func newListening(proc string, r *reader) *listening {
	l := &listening{proc: proc, reader: r, namespaces: make(map[uint64]*sockets), backlog: backlog{proc: proc}}
	var st unix.Stat_t
	if unix.Stat(proc+"/self/ns/net", &st) == nil {
		l.ownNetNS = st.Ino
	}
	return l
}

func (l *listening) begin() {
	l.looks, l.asked, l.somaxconn = 0, nil, 0
	// The kernel shows the value of the reader's network namespace.
	if text, err := os.ReadFile(l.proc + "/sys/net/core/somaxconn"); err == nil {
		l.somaxconn = uint32(min(sampler.Saturated(bytes.TrimSpace(text)), math.MaxUint32))
	}
	l.backlog.begin(l.reader.now)
}

func path(proc string, pid int, file string) string {
	return proc + "/" + strconv.Itoa(pid) + "/" + file
}

// look searches for p's listeners if a search is due, and reports what is known.
func (l *listening) look(r *reader, p *process, own *treeProcess) {
	if r.now >= own.listens.next && l.looks < maxLooks && r.mayListen(p, own) {
		l.looks++
		own.listens.next = r.now + listenEvery
		if r.now-time.Duration(p.start)*userTick < listenEvery {
			own.listens.next = r.now + listenYoung
		}
		own.listens.sockets, own.listens.known = l.find(p.pid)
	}
	if !own.listens.known {
		return
	}
	p.held.listens, p.held.listensSeen = len(own.listens.sockets), true
	l.queues(r, p, own)
	p.held.backlog, p.held.backlogSeen = l.backlog.of(r, p, own)
}

// queues reports the queues of p's listeners.
func (l *listening) queues(r *reader, p *process, own *treeProcess) {
	for _, key := range own.listens.sockets {
		ns := l.namespaces[key.netns]
		if ns == nil || r.now-ns.at >= socketsFor {
			ns = l.of(p.pid)
		}
		if ns == nil {
			continue
		}
		seen, ok := ns.listening[key.inode]
		if !ok || !seen.local.IsValid() {
			continue // closed, or a Unix socket
		}
		if known := r.listener(key, seen.local, p); known != nil {
			now := l.now(key, seen)
			known.queue, known.backlog, known.drops, known.limited, known.dropped = now.queue, now.backlog, now.drops, now.limited, now.dropped
			if key.netns == l.ownNetNS {
				known.somaxconn = l.somaxconn
			}
		}
	}
}

// now returns what inet_diag reports about a listener. It is more complete and newer
// than the table, but only covers headroom's own network namespace.
func (l *listening) now(key socket, seen listener) listener {
	if key.netns != l.ownNetNS {
		return seen
	}
	if now, ok := l.own()[key.inode]; ok {
		return now
	}
	return seen
}

// own returns the listeners of headroom's network namespace in this pass.
func (l *listening) own() map[uint64]listener {
	if l.asked == nil {
		l.asked = askListeners()
	}
	return l.asked
}

// mayListen reports whether to search a process: one whose runtime has an event
// loop, or one that uses any CPU time.
func (r *reader) mayListen(p *process, own *treeProcess) bool {
	if own.share >= active {
		return true
	}
	id, ok := r.identity.Process(p.pid, p.start)
	return ok && r.index.Attr(id, catalog.AttrRuntime) != ""
}

// find returns a process's listening sockets.
func (l *listening) find(pid int) (found []socket, ok bool) {
	var st unix.Stat_t
	ns := l.of(pid)
	if ns == nil || unix.Stat(path(l.proc, pid, "ns/net"), &st) != nil {
		return nil, false
	}
	dir, err := os.Open(path(l.proc, pid, "fd"))
	if err != nil {
		return nil, false // belongs to another user
	}
	defer dir.Close() //nolint:errcheck // read only
	fds, err := dir.Readdirnames(maxDescriptors)
	for _, fd := range fds {
		if inode, ok := socketInode(int(dir.Fd()), fd); ok {
			if _, listens := ns.listening[inode]; listens {
				found = append(found, socket{st.Ino, inode})
			}
		}
	}
	return found, err == nil || err == io.EOF
}

// socketInode returns the inode of the socket behind a descriptor.
//
//	3 -> socket:[123456]
func socketInode(dir int, fd string) (inode uint64, ok bool) {
	var buf [64]byte
	n, err := unix.Readlinkat(dir, fd, buf[:])
	if err != nil {
		return 0, false
	}
	number, ok := bytes.CutPrefix(buf[:n], []byte("socket:["))
	return sampler.Saturated(number), ok
}

// of returns the listening sockets of a process's network namespace.
func (l *listening) of(pid int) *sockets {
	var st unix.Stat_t
	if unix.Stat(path(l.proc, pid, "ns/net"), &st) != nil {
		return nil
	}
	ns := l.namespaces[st.Ino]
	if ns != nil && l.reader.now-ns.at < socketsFor {
		return ns
	}
	if len(l.namespaces) >= maxNamespaces {
		clear(l.namespaces)
	}
	ns = &sockets{at: l.reader.now, listening: make(map[uint64]listener)}
	l.namespaces[st.Ino] = ns
	for file, parse := range map[string]func(io.Reader, map[uint64]listener) error{"tcp": parseTCP, "tcp6": parseTCP, "unix": parseUnix} {
		if f, err := os.Open(path(l.proc, pid, "net/"+file)); err == nil {
			_ = parse(f, ns.listening) //nolint:errcheck // partial results are used
			_ = f.Close()              //nolint:errcheck // read only
		}
	}
	if st.Ino == l.ownNetNS {
		// The kernel continues a table after each page, and can then miss a socket.
		for inode, seen := range l.own() {
			if _, listed := ns.listening[inode]; !listed {
				ns.listening[inode] = seen
			}
		}
	}
	return ns
}
