// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/headroom-project/headroom/agent/sampler"
)

// States of a socket table (include/net/tcp_states.h).
const (
	stateEstablished = "01"
	stateListen      = "0A"
)

// parseTCP adds listening sockets with their queues. The kernel lists them before
// all others (tcp_seek_last_pos in net/ipv4/tcp_ipv4.c), so it stops at the first
// socket that does not listen; procfs reads all of them.
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//	 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 123456 1 …
func parseTCP(r io.Reader, found map[uint64]listener) error {
	lines := bufio.NewScanner(r)
	lines.Scan() // the header line
	for lines.Scan() {
		row, err := parseRow(lines.Bytes())
		if err != nil {
			return err
		}
		if string(row.state) != stateListen {
			return nil
		}
		local, err := parseAddress(row.local)
		if err != nil {
			return err
		}
		found[row.inode] = listener{local: local, queue: row.queue}
	}
	return lines.Err()
}

// parseUnix adds Unix sockets that accept connections, which have the flag
// __SO_ACCEPTCON (include/uapi/linux/net.h). procfs keeps all sockets: with a thousand
// it takes 1.4 times as long, and makes 3,025 allocations instead of 1,006
// (BenchmarkProcfs).
//
//	Num       RefCount Protocol Flags    Type St Inode Path
//	0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/x.sock
func parseUnix(r io.Reader, found map[uint64]listener) error {
	const accepts = 1 << 16
	lines := bufio.NewScanner(r)
	lines.Scan() // the header line
	for lines.Scan() {
		f := bytes.Fields(lines.Bytes())
		if len(f) < 7 {
			return fmt.Errorf("socket table: %w", errTruncated)
		}
		flags, err := strconv.ParseUint(string(f[3]), 16, 64)
		if err == nil && flags&accepts != 0 {
			found[sampler.Saturated(f[6])] = listener{}
		}
	}
	return lines.Err()
}

// A row holds the fields used of a line of a TCP socket table. It is valid as long
// as the line.
type row struct {
	local, state []byte
	queue        uint32
	inode        uint64
}

// Columns of a socket table.
const (
	columnLocal = 1
	columnState = 3
	columnQueue = 4
	columnInode = 9
)

// parseRow reads one line. rx_queue of a listener is the number of connections to
// be accepted (get_tcp4_sock in net/ipv4/tcp_ipv4.c), that of other sockets is in
// bytes.
func parseRow(line []byte) (row, error) {
	var columns [columnInode + 1][]byte
	n := 0
	for f := range bytes.FieldsSeq(line) {
		columns[n] = f
		if n++; n == len(columns) {
			break
		}
	}
	if n < len(columns) {
		return row{}, fmt.Errorf("socket table: %w", errTruncated)
	}
	queue := columns[columnQueue]
	waiting, err := strconv.ParseUint(string(queue[bytes.LastIndexByte(queue, ':')+1:]), 16, 32)
	if err != nil {
		return row{}, fmt.Errorf("socket table: rx_queue: %w", err)
	}
	return row{local: columns[columnLocal], state: columns[columnState], queue: uint32(waiting), inode: sampler.Saturated(columns[columnInode])}, nil
}
