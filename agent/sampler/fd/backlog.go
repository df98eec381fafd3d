// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"bufio"
	"errors"
	"io"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// backlogShare is the CPU usage, in cores, from which a server's backlog is
	// counted: a less busy server keeps up.
	backlogShare = 0.5
	// backlogRest is the pause after reading the socket tables, as a multiple of the
	// time that the reading took: they may cost 1 % of a core.
	backlogRest = 100
)

// A backlog counts the connections that wait for busy servers. It reads the tables
// of a network namespace at most once a pass.
type backlog struct {
	proc   string
	next   time.Duration // boot time of the next allowed reading
	tables map[uint64]*queues
}

// queues holds what waits in one network namespace.
type queues struct {
	accept  map[uint64]int    // connections to be accepted, by inode of the listener
	port    map[uint64]uint16 // port of each listener, by inode
	pending map[uint16]int    // connections with an unanswered request, by local port
}

func newQueues() *queues {
	return &queues{accept: make(map[uint64]int), port: make(map[uint64]uint16), pending: make(map[uint16]int)}
}

func (b *backlog) begin(now time.Duration) {
	b.tables = nil
	if now >= b.next {
		b.tables = make(map[uint64]*queues)
	}
}

// of counts the connections that wait for p, if p is busy and a reading is due.
func (b *backlog) of(r *reader, p *process, own *treeProcess) (waiting int, ok bool) {
	if own.share < backlogShare || len(own.listens.sockets) == 0 || b.tables == nil {
		return 0, false
	}
	q := b.in(r, own.listens.sockets[0].netns, p.pid)
	if q == nil {
		return 0, false
	}
	return q.waiting(own.listens.sockets), true
}

// in returns the queues of a process's network namespace.
func (b *backlog) in(r *reader, netns uint64, pid int) *queues {
	q, ok := b.tables[netns]
	if ok {
		return q
	}
	began := r.boottime()
	q = askQueues(netns)
	if q == nil {
		q = readQueues(path(b.proc, pid, "net/tcp"), path(b.proc, pid, "net/tcp6"))
	}
	b.tables[netns] = q
	b.next = max(b.next, r.now) + backlogRest*(r.boottime()-began)
	return q
}

// waiting counts the connections that wait for the holder of some listeners. A
// connection to a port that several processes share counts for each of them.
func (q *queues) waiting(listeners []socket) int {
	n := 0
	ports := make(map[uint16]bool)
	for _, l := range listeners {
		n += q.accept[l.inode]
		if port, ok := q.port[l.inode]; ok && !ports[port] {
			ports[port] = true
			n += q.pending[port]
		}
	}
	return n
}

// askQueues reads the queues through inet_diag, which provides more than the tables
// of /proc, but only for headroom's own network namespace; nil if that fails.
func askQueues(netns uint64) *queues {
	var own unix.Stat_t
	if unix.Stat("/proc/self/ns/net", &own) != nil || own.Ino != netns {
		return nil
	}
	q := newQueues()
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := netlink.SocketDiagTCPInfo(family)
		if err != nil {
			return nil
		}
		for _, s := range sockets {
			q.add(s)
		}
	}
	return q
}

// add adds one socket. A request that the process has read and queued in its own
// memory still waits: bytes were received after the last ones were sent.
func (q *queues) add(s *netlink.InetDiagTCPInfoResp) {
	d := s.InetDiagMsg
	switch {
	case d.State == netlink.TCP_LISTEN:
		q.port[uint64(d.INode)] = d.ID.SourcePort
		q.accept[uint64(d.INode)] = int(d.RQueue)
	case d.State == netlink.TCP_ESTABLISHED && (d.RQueue > 0 || unanswered(s.TCPInfo)):
		q.pending[d.ID.SourcePort]++
	}
}

// unanswered reports whether bytes were received after the last ones were sent.
// Both ages are in ms.
func unanswered(t *netlink.TCPInfo) bool {
	return t != nil && t.Bytes_received > 0 && t.Last_data_recv < t.Last_data_sent
}

// readQueues reads the socket tables; nil if one cannot be read, since a partial
// result would look like an empty queue. A kernel without IPv6 has one table.
func readQueues(files ...string) *queues {
	q := newQueues()
	for _, name := range files {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil
		}
		err = parseQueues(f, q)
		_ = f.Close() //nolint:errcheck // read only
		if err != nil {
			return nil
		}
	}
	return q
}

// parseQueues adds up the queues of a socket table.
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//	 0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 123456 1 …
//	 1: 0100007F:1F90 0100007F:B3C4 01 00000000:00000051 00:00000000 00000000     0        0 123457 1 …
func parseQueues(r io.Reader, q *queues) error {
	lines := bufio.NewScanner(r)
	lines.Scan() // the header line
	for lines.Scan() {
		row, err := parseRow(lines.Bytes())
		if err != nil {
			return err
		}
		local, err := parseAddress(row.local)
		if err != nil {
			return err
		}
		switch {
		case string(row.state) == stateListen:
			q.port[row.inode] = local.Port()
			q.accept[row.inode] = int(row.queue)
		case string(row.state) == stateEstablished && row.queue > 0:
			q.pending[local.Port()]++
		}
	}
	return lines.Err()
}
