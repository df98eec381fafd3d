// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

const (
	// maxTuples is the maximum number of tuples counted in one full step. When it is
	// reached, all counts are decreased by one and those at 0 dropped (Misra and Gries
	// 1982): of n sockets a count is too low by at most n/maxTuples, so a tuple that
	// holds a tenth of the ports is never lost.
	maxTuples = 1 << 14
	// maxLive is the maximum number of live sockets kept to find their owners.
	maxLive = 4096
	// maxLook is the time limit of one full step, which delays the tick: half a
	// million sockets through inet_diag.
	maxLook = 500 * time.Millisecond
	// checkEvery is the number of sockets between two checks of the time limit.
	checkEvery = 1024
)

// States of a socket (include/net/tcp_states.h).
const (
	stateFinWait2 = 5
	stateTimeWait = 6
	stateClose    = 7
	stateListen   = 10
)

// A tuple is the part of a connection that a local port must be unique for.
type tuple struct {
	source, destination netip.Addr
	port                uint16
}

// A socket is one row of a socket table.
type socket struct {
	tuple
	local uint16
	state uint8
	inode uint64 // 0 if no process holds it
}

// A tally holds the sockets of one tuple.
type tally struct {
	tuple
	live, timeWait int
}

func (t *tally) used() int { return t.live + t.timeWait }

// A table counts sockets by tuple.
type table struct {
	set      setting
	tallies  map[tuple]*tally
	listens  [1 << 16 / 8]uint8
	live     []socket
	deadline time.Time
	rows     int
	cut      bool
}

func newTable() *table {
	return &table{tallies: make(map[tuple]*tally)}
}

func (t *table) reset(set setting) {
	clear(t.tallies)
	t.listens = [len(t.listens)]uint8{}
	t.live = t.live[:0]
	t.set, t.rows, t.cut = set, 0, false
	t.deadline = time.Now().Add(maxLook)
}

// add counts one socket; it returns false if the time limit is reached. Ports
// outside the range were chosen by the program, and ports of accepted connections
// belong to the listener. Listeners come first, in inet_diag and in /proc.
func (t *table) add(s socket) bool {
	if t.rows++; t.rows%checkEvery == 0 && time.Now().After(t.deadline) {
		t.cut = true
		return false
	}
	if s.state == stateListen {
		t.listens[s.local/8] |= 1 << (s.local % 8)
		return true
	}
	if s.state == stateClose || !t.set.holds(s.local) || t.listens[s.local/8]&(1<<(s.local%8)) != 0 {
		return true
	}
	a := t.tallies[s.tuple]
	if a == nil {
		if len(t.tallies) >= maxTuples {
			t.lower()
			return true
		}
		a = &tally{tuple: s.tuple}
		t.tallies[s.tuple] = a
	}
	// The kernel lists a connection that only waits for the other side to close in its
	// previous state, without an inode (tw_substate in net/ipv4/tcp_minisocks.c).
	if s.state == stateTimeWait || s.state == stateFinWait2 && s.inode == 0 {
		a.timeWait++
		return true
	}
	a.live++
	if s.inode != 0 && len(t.live) < maxLive {
		t.live = append(t.live, s)
	}
	return true
}

// lower decreases all counts by one and drops those at 0.
func (t *table) lower() {
	for key, a := range t.tallies {
		if a.live > 0 {
			a.live--
		} else {
			a.timeWait--
		}
		if a.used() == 0 {
			delete(t.tallies, key)
		}
	}
}

// largest returns the tuples that hold at least that many ports, the largest first.
func (t *table) largest(least float64, most int) []*tally {
	var large []*tally
	for _, a := range t.tallies {
		if float64(a.used()) >= least {
			large = append(large, a)
		}
	}
	slices.SortFunc(large, func(a, b *tally) int {
		return cmp.Or(cmp.Compare(b.used(), a.used()), a.source.Compare(b.source), a.destination.Compare(b.destination), cmp.Compare(a.port, b.port))
	})
	return large[:min(most, len(large))]
}

var errTruncated = errors.New("truncated")

// Columns of a socket table.
const (
	columnLocal  = 1
	columnRemote = 2
	columnState  = 3
	columnInode  = 9
)

// parse counts the sockets of a table of /proc/PID/net without storing them, and
// stops at the time limit; procfs stores every row.
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//	 0: 0100007F:B3C4 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 123456 1 …
//	 1: 0100007F:B3C5 0100007F:1F90 06 00000000:00000000 03:00000176 00000000     0        0 0 3 …
func (t *table) parse(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Scan() // the header line
	for lines.Scan() {
		s, err := parseSocket(lines.Bytes())
		if err != nil {
			return err
		}
		if !t.add(s) {
			return nil
		}
	}
	return lines.Err()
}

func parseSocket(line []byte) (s socket, err error) {
	var columns [columnInode + 1][]byte
	n := 0
	for f := range bytes.FieldsSeq(line) {
		columns[n] = f
		if n++; n == len(columns) {
			break
		}
	}
	if n < len(columns) {
		return s, fmt.Errorf("socket table: %w", errTruncated)
	}
	if s.source, s.local, err = parseAddress(columns[columnLocal]); err != nil {
		return s, err
	}
	if s.destination, s.port, err = parseAddress(columns[columnRemote]); err != nil {
		return s, err
	}
	state, err := strconv.ParseUint(string(columns[columnState]), 16, 8)
	if err != nil {
		return s, fmt.Errorf("socket table: state: %w", err)
	}
	s.state = uint8(state)
	s.inode, err = strconv.ParseUint(string(columns[columnInode]), 10, 64)
	if err != nil {
		return s, fmt.Errorf("socket table: inode: %w", err)
	}
	return s, nil
}

// parseAddress parses an address as the kernel prints it: 32-bit words in the byte
// order of the host, and a port. An IPv4-mapped IPv6 address is returned as IPv4:
// both use the same ports.
//
//	0100007F:1F90                           127.0.0.1:8080
//	0000000000000000FFFF00000100007F:1F90   the same in tcp6
func parseAddress(text []byte) (netip.Addr, uint16, error) {
	host, port, _ := bytes.Cut(text, []byte(":"))
	number, err := strconv.ParseUint(string(port), 16, 16)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("socket table: port: %w", err)
	}
	var raw [16]byte
	if len(host) > 2*len(raw) {
		return netip.Addr{}, 0, fmt.Errorf("socket table: address of %d digits", len(host))
	}
	n, err := hex.Decode(raw[:], host)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("socket table: address: %w", err)
	}
	if n != 4 && n != 16 {
		return netip.Addr{}, 0, fmt.Errorf("socket table: address of %d bytes", n)
	}
	for i := 0; littleEndian && i < n; i += 4 {
		word := bits.ReverseBytes32(uint32(raw[i])<<24 | uint32(raw[i+1])<<16 | uint32(raw[i+2])<<8 | uint32(raw[i+3]))
		raw[i], raw[i+1], raw[i+2], raw[i+3] = byte(word>>24), byte(word>>16), byte(word>>8), byte(word)
	}
	a, _ := netip.AddrFromSlice(raw[:n])
	return a.Unmap(), uint16(number), nil
}
