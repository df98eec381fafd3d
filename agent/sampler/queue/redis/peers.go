// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	// peersEvery is the time between two questions for the list of clients, and maxPeers
	// the number of them up to which it is asked for. Each takes the server about 3 µs.
	peersEvery, maxPeers = 10 * time.Second, 1000
)

// A peer is a connection to the server.
type peer struct {
	at            netip.AddrPort
	name, command string // that it gave itself, and that it ran last
}

// readPeers reads the connections again, if that is due. None are known if there are too
// many, or if an ACL forbids it.
func (s *source) readPeers(ctx context.Context) {
	if time.Now().Before(s.asked) {
		return
	}
	s.asked = time.Now().Add(peersEvery)
	s.peers = nil
	n, err := s.db.Info(ctx, "clients").Result()
	if err != nil || fieldOf(n, "connected_clients") > maxPeers {
		return
	}
	if all, err := s.db.ClientList(ctx).Result(); err == nil {
		s.peers = parsePeers(all)
	}
}

// parsePeers returns the connections of a list of clients.
//
//	id=65 addr=127.0.0.1:38262 … name= age=7 … cmd=brpop user=default …
func parsePeers(text string) []peer {
	var all []peer
	for line := range strings.Lines(text) {
		var p peer
		for field := range strings.FieldsSeq(line) {
			key, value, _ := strings.Cut(field, "=")
			switch key {
			case "addr":
				at, _ := netip.ParseAddrPort(value) //nolint:errcheck // a Unix socket has none
				p.at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
			case "name":
				p.name = value
			case "cmd":
				p.command = value
			}
		}
		if p.at.IsValid() {
			all = append(all, p)
		}
	}
	return all
}

// peersOf returns the addresses of the connections that are like that.
func (s *source) peersOf(like func(peer) bool) []netip.AddrPort {
	var all []netip.AddrPort
	for _, p := range s.peers {
		if like(p) {
			all = append(all, p.at)
		}
	}
	return all
}

// pops reports whether a connection waits for messages of lists, or did so last.
func pops(p peer) bool { return p.command == "brpop" }

// fieldOf returns a number of INFO, 0 if it is not there.
//
//	connected_clients:12
func fieldOf(info, key string) float64 {
	for line := range strings.SplitSeq(info, "\r\n") {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseFloat(value, 64) //nolint:errcheck // 0
			return n
		}
	}
	return 0
}
