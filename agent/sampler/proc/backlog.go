// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// backlogShare is the CPU, in cores, from which it matters whether a
	// server keeps up: less than half a core does.
	backlogShare = 0.5
	// backlogRest is how long the socket tables are left alone after reading
	// them, in multiples of what that took: they may cost 1 % of a core.
	backlogRest = 100
)

// A backlog counts the connections that wait for busy servers. The tables of a
// network namespace are read at most once a reading.
type backlog struct {
	round  int
	next   time.Duration // boot time from which tables may be read again
	tables map[uint64]*queues
}

// queues are what waits in one network namespace.
type queues struct {
	accept  map[uint64]int    // connections to be accepted, by inode of the listener
	port    map[uint64]uint16 // of each listener
	pending map[uint16]int    // connections with a request that is not answered, by local port
}

func newQueues() *queues {
	return &queues{accept: make(map[uint64]int), port: make(map[uint64]uint16), pending: make(map[uint16]int)}
}

// write counts what waits for p, if it is busy and it is time to look.
func (b *backlog) write(s *observe.Snapshot, r *reader, p *process) {
	if p.share < backlogShare || len(p.listens.inodes) == 0 {
		return
	}
	if b.round != r.round {
		b.round = r.round
		b.tables = nil
		if r.now >= b.next {
			b.tables = make(map[uint64]*queues)
		}
	}
	if b.tables == nil {
		return
	}
	if q := b.of(r, p.pid); q != nil {
		s.Set(catalog.ProcessBacklog, p.id, float64(q.waiting(p.listens.inodes)))
	}
}

// of returns what waits in the network namespace of a process.
func (b *backlog) of(r *reader, pid int) *queues {
	var st unix.Stat_t
	if unix.Stat(r.files.pid(pid, "ns/net"), &st) != nil {
		return nil
	}
	q, ok := b.tables[st.Ino]
	if ok {
		return q
	}
	began := r.boottime()
	q = askQueues(st.Ino)
	if q == nil {
		q = readQueues(r.files.pid(pid, "net/tcp"), r.files.pid(pid, "net/tcp6"))
	}
	b.tables[st.Ino] = q
	b.next = max(b.next, r.now) + backlogRest*(r.boottime()-began)
	return q
}

// waiting counts connections that wait for the holder of some listeners. One
// whose port several processes share counts for each of them.
func (q *queues) waiting(inodes []uint64) int {
	n := 0
	ports := make(map[uint16]bool)
	for _, inode := range inodes {
		n += q.accept[inode]
		if port, ok := q.port[inode]; ok && !ports[port] {
			ports[port] = true
			n += q.pending[port]
		}
	}
	return n
}

// askQueues asks the kernel by inet_diag, which tells more than the tables of
// /proc, but only of the own network namespace; nil if it cannot.
func askQueues(namespace uint64) *queues {
	var own unix.Stat_t
	if unix.Stat("/proc/self/ns/net", &own) != nil || own.Ino != namespace {
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

// add adds one socket. A request that the process has read and queued in its
// own memory still waits: the last bytes came later than the last ones left.
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

// unanswered compares how long ago bytes last came and last left, in ms.
func unanswered(t *netlink.TCPInfo) bool {
	return t != nil && t.Bytes_received > 0 && t.Last_data_recv < t.Last_data_sent
}

// readQueues reads the socket tables; nil if one cannot be read, since half an
// answer would look like an empty queue. A kernel without IPv6 has one table.
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

// parseQueues adds up what waits. Of a listener rx_queue is the number of
// connections to be accepted (tcp_diag and get_tcp4_sock in net/ipv4/tcp_ipv4.c),
// of others it is bytes.
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//	 0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 123456 1 …
//	 1: 0100007F:1F90 0100007F:B3C4 01 00000000:00000051 00:00000000 00000000     0        0 123457 1 …
func parseQueues(r io.Reader, q *queues) error {
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	for lines.Scan() {
		if err := q.line(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Numbers of the columns of a socket table.
const (
	columnLocal = 1
	columnState = 3
	columnQueue = 4
	columnInode = 9
)

func (q *queues) line(line []byte) error {
	var columns [columnInode + 1][]byte
	n := 0
	for f := range bytes.FieldsSeq(line) {
		columns[n] = f
		if n++; n == len(columns) {
			break
		}
	}
	if n < len(columns) {
		return fmt.Errorf("socket table: %w", errTruncated)
	}
	local, queue := columns[columnLocal], columns[columnQueue]
	port, err := strconv.ParseUint(string(local[bytes.LastIndexByte(local, ':')+1:]), 16, 16)
	if err != nil {
		return fmt.Errorf("socket table: port: %w", err)
	}
	waiting, err := strconv.ParseUint(string(queue[bytes.LastIndexByte(queue, ':')+1:]), 16, 32)
	if err != nil {
		return fmt.Errorf("socket table: rx_queue: %w", err)
	}
	switch state := string(columns[columnState]); {
	case state == "0A": // TCP_LISTEN
		inode := digits(columns[columnInode])
		q.port[inode] = uint16(port)
		q.accept[inode] = int(waiting)
	case state == "01" && waiting > 0: // TCP_ESTABLISHED
		q.pending[uint16(port)]++
	}
	return nil
}
