// SPDX-License-Identifier: Apache-2.0

// Package place finds the addresses at which a server on this host can be asked: its
// listening sockets, seen from the network namespace of headroom. It opens no connection.
package place

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/procread"
	"github.com/headroom-project/headroom/agent/sampler"
)

// maxDescriptors is the number of descriptors searched for listening sockets: a broker opens
// them before its connections.
const maxDescriptors = 1024

// A Place is a process on this host that may be a server.
type Place struct {
	PID int
	// Listens are the addresses that reach its listening TCP sockets from the network
	// namespace of headroom.
	Listens []netip.AddrPort
	// Hidden are the ports of sockets that listen on the loopback address of another
	// network namespace, which headroom cannot reach.
	Hidden []uint16
}

// At returns the address of a port, if a socket that headroom can reach listens on it.
func (p Place) At(port uint16) (a netip.AddrPort, ok bool) {
	for _, a := range p.Listens {
		if a.Port() == port {
			return a, true
		}
	}
	return a, false
}

// Of returns the listening sockets of a process with the addresses at which
// headroom reaches them: those of another network namespace are reached through an
// address of that namespace, without entering it.
func Of(proc string, pid int) (Place, error) {
	p := Place{PID: pid}
	dir := filepath.Join(proc, strconv.Itoa(pid))
	own, err := os.Readlink(filepath.Join(proc, "self/ns/net"))
	if err != nil {
		return p, err
	}
	theirs, err := os.Readlink(dir + "/ns/net")
	if err != nil {
		return p, err
	}
	inodes := make(map[uint64]bool)
	if _, err = sampler.Sockets(dir+"/fd", maxDescriptors, func(inode uint64) { inodes[inode] = true }); err != nil {
		return p, err
	}
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if theirs != own {
		if local, err = addressOf(dir + "/net/fib_trie"); err != nil {
			return p, err
		}
	}
	sockets, err := procread.TCPSockets(dir)
	if err != nil {
		return p, err
	}
	for _, s := range sockets {
		if s.State == procread.Listening && inodes[s.Inode] {
			reach(&p, s.Local, theirs != own, local)
		}
	}
	return p, nil
}

// reach adds a listening socket. local is an address of its network namespace.
func reach(p *Place, at netip.AddrPort, other bool, local netip.Addr) {
	switch {
	case at.Addr().IsUnspecified():
		p.Listens = append(p.Listens, netip.AddrPortFrom(local, at.Port()))
	case other && at.Addr().IsLoopback():
		p.Hidden = append(p.Hidden, at.Port())
	default:
		p.Listens = append(p.Listens, at)
	}
}

// addressOf returns the first local address of a network namespace that is not a
// loopback address.
func addressOf(file string) (netip.Addr, error) {
	f, err := os.Open(file)
	if err != nil {
		return netip.Addr{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	return parseTrie(f)
}

// parseTrie reads the routes of a network namespace (fib_trie_seq_show in
// net/ipv4/fib_trie.c).
//
//	|-- 10.244.1.7
//	   /32 host LOCAL
func parseTrie(r io.Reader) (netip.Addr, error) {
	var last string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if leaf, ok := strings.CutPrefix(text, "|-- "); ok {
			last = leaf
		}
		if text != "/32 host LOCAL" {
			continue
		}
		if a, err := netip.ParseAddr(last); err == nil && !a.IsLoopback() {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("the network namespace has no address: %w", os.ErrNotExist)
}
