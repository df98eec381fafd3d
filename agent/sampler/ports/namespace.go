// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// maxNamespaces is the maximum number of namespaces read: one per pod of a full
	// node.
	maxNamespaces = 300
	// scanEvery is the maximum time until a new namespace is found.
	scanEvery = 10 * time.Second
	// settingFor is how long sysctls are cached: people change them by hand.
	settingFor = time.Minute
)

// errGone is returned for a namespace whose processes ended.
var errGone = errors.New("its processes are gone")

// namespaces holds the network namespaces of the host's processes.
type namespaces struct {
	proc   string
	found  []*namespace
	by     map[uint64]*namespace
	next   time.Time
	denied bool // the namespace of some process cannot be read
	more   bool // there are more than the limit
}

// A namespace is one network namespace, read through its processes.
type namespace struct {
	inode uint64
	pids  []int
	set   setting
	until time.Time // expiry of the cached setting
	turn  int       // where the search for owners continues
}

// refresh scans again if a scan is due: scanning takes at most 1 % of a core.
func (ns *namespaces) refresh() error {
	if time.Now().Before(ns.next) {
		return nil
	}
	return ns.scan()
}

// scan groups all processes by namespace.
func (ns *namespaces) scan() error {
	began := time.Now()
	pids, err := sampler.PIDs(ns.proc)
	if err != nil {
		return err
	}
	before := ns.by
	ns.found, ns.by = ns.found[:0], make(map[uint64]*namespace)
	ns.denied, ns.more = false, false
	for _, pid := range pids {
		ns.add(pid, before)
	}
	ns.next = began.Add(max(scanEvery, rest*time.Since(began)))
	return nil
}

func (ns *namespaces) add(pid int, before map[uint64]*namespace) {
	inode, err := spaceOf(ns.proc + "/" + strconv.Itoa(pid))
	if err != nil {
		// Process 1 can have more capabilities than other processes of root, and headroom
		// may not be allowed to read it; its namespace is the host's, which other
		// processes share.
		ns.denied = ns.denied || pid != 1 && errors.Is(err, fs.ErrPermission)
		return
	}
	n := ns.by[inode]
	switch {
	case n != nil:
	case len(ns.found) >= maxNamespaces:
		ns.more = true
		return
	default:
		if n = before[inode]; n == nil {
			n = &namespace{inode: inode}
		}
		n.pids = n.pids[:0]
		ns.by[inode] = n
		ns.found = append(ns.found, n)
	}
	n.pids = append(n.pids, pid)
}

// spaceOf returns the inode of a process's network namespace.
//
//	/proc/4242/ns/net -> net:[4026531840]
func spaceOf(process string) (uint64, error) {
	target, err := os.Readlink(process + "/ns/net")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(target, "net:["), "]"), 10, 64)
}

func (ns *namespaces) gaps(s *observe.Snapshot) {
	if ns.denied {
		s.Gap(name, "permission denied for the network namespaces of some processes: their connections are not counted", "run as root, or with CAP_SYS_PTRACE")
	}
	if ns.more {
		s.Gap(name, "connections in some network namespaces are not counted: the limit of "+strconv.Itoa(maxNamespaces)+" was reached", "")
	}
}

// tries is the number of processes of a namespace that are tried: a process that
// just ended has no files.
const tries = 3

// sockets returns the number of sockets that use a port, including those in
// TIME_WAIT; 0 if no process is left to read them from. The files are not kept
// open, because an open file keeps its namespace alive.
func (n *namespace) sockets(proc string, buf []byte) int {
	for _, pid := range n.pids[:min(tries, len(n.pids))] {
		net := proc + "/" + strconv.Itoa(pid) + "/net/"
		b, err := readOnce(net+"sockstat", buf)
		if err != nil {
			continue
		}
		total := parseSockstat(b)
		if b, err = readOnce(net+"sockstat6", buf); err == nil {
			total += parseSockstat(b)
		}
		return total
	}
	return 0
}

func readOnce(path string, buf []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Read(buf)
	return buf[:max(n, 0)], err
}

// maxSockets is larger than the number of ports that a namespace has for all its
// addresses.
const maxSockets = 1 << 30

// parseSockstat adds up the TCP sockets in use and in TIME_WAIT. The file for IPv4
// counts those in TIME_WAIT of both versions. procfs takes 1.8 times as long, and
// makes 50 allocations instead of 22 (BenchmarkProcfs).
//
//	TCP: inuse 210 orphan 0 tw 28104 alloc 214 mem 171
//	TCP6: inuse 12
func parseSockstat(b []byte) int {
	total := 0
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		if !bytes.HasPrefix(line, []byte("TCP: ")) && !bytes.HasPrefix(line, []byte("TCP6: ")) {
			continue
		}
		key := ""
		for f := range bytes.FieldsSeq(line) {
			if v, err := strconv.ParseUint(string(f), 10, 63); err == nil && (key == "inuse" || key == "tw") {
				total = min(maxSockets, total+int(min(v, maxSockets)))
			}
			key = string(f)
		}
	}
	return total
}

// tables reads the sockets from /proc. A kernel without IPv6 has one table.
func (n *namespace) tables(proc string, t *table) error {
	for _, pid := range n.pids[:min(tries, len(n.pids))] {
		net := proc + "/" + strconv.Itoa(pid) + "/net/"
		f, err := os.Open(net + "tcp")
		if err != nil {
			continue
		}
		err = t.parse(f)
		_ = f.Close() //nolint:errcheck // read only
		if err != nil {
			return err
		}
		if f, err = os.Open(net + "tcp6"); err != nil {
			return nil
		}
		err = t.parse(f)
		_ = f.Close() //nolint:errcheck // read only
		return err
	}
	return errGone
}
