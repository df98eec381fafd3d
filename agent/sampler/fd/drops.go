// SPDX-License-Identifier: Apache-2.0

package fd

import "github.com/prometheus/procfs"

// perDrop is how many times a dropped connection counts in sk_drops: once, or
// twice where the last packet of the handshake finds the queue full
// (tcp_v4_syn_recv_sock, and tcp_v4_rcv that then discards the packet). In
// TcpExtListenDrops it counts once.
const perDrop = 2

// dropped counts the connections that all listeners of a network namespace
// dropped. sk_drops of a socket counts every packet that it discards, also the
// bare ACK that ends the handshake where the socket is to wait for data
// (TCP_DEFER_ACCEPT, by default in Apache), when nothing is lost. So a socket
// cannot have dropped more connections than its namespace counts.
type dropped struct {
	round int // the pass that last saw a listener of it
	pid   int // of a process in it
	read  int // the pass that last read total, 0 for none
	total uint64
	// room is for how many drops of a socket the namespace has an explanation in
	// this pass; spare is what the last pass did not need: the two counters are not
	// read at the same moment.
	room, spare uint64
	known       bool
}

// watchDrops takes in what the socket discarded since the last pass. A listener
// is first seen with a count of its past, which stays.
func (r *reader) watchDrops(key socket, l *listener) {
	ns := r.namespaces[key.netns]
	if ns == nil {
		ns = &dropped{}
		r.namespaces[key.netns] = ns
	}
	ns.round, ns.pid = r.round, l.pid
	if !l.counted {
		l.counted, l.lost, l.discarded = true, uint64(l.drops), l.drops
		return
	}
	more := l.drops - l.discarded // modulo 2^32, as the kernel counts
	l.discarded = l.drops
	if more > 0 {
		l.lost += r.explained(ns, uint64(more))
	}
}

// explained returns for how many of so many discarded packets the namespace
// counts a dropped connection. Where its counter cannot be read, all are taken.
func (r *reader) explained(ns *dropped, more uint64) uint64 {
	if ns.read != r.round {
		ns.update(r)
	}
	if !ns.known {
		return more
	}
	more = min(more, ns.room+ns.spare)
	used := min(more, ns.spare)
	ns.spare -= used
	ns.room -= more - used
	return more
}

// update reads the counter of the namespace. The first time there is nothing to
// compare with, and no drop has an explanation.
func (ns *dropped) update(r *reader) {
	total, ok := r.listenDrops(ns.pid)
	ns.spare, ns.room = ns.room, 0
	if ok && ns.known && total > ns.total {
		ns.room = perDrop * (total - ns.total)
	}
	ns.total, ns.known, ns.read = total, ok, r.round
}

// newAccounts bounds the namespaces whose counter is read for the first time in
// one pass: a full node has 250, at some 0.1 ms each.
const newAccounts = 16

// keepAccounts begins some of the accounts that have not begun, before they are
// needed, and drops those of namespaces without a listener.
func (r *reader) keepAccounts() {
	began := 0
	for inode, ns := range r.namespaces {
		switch {
		case ns.round != r.round:
			delete(r.namespaces, inode)
		case ns.read == 0 && began < newAccounts:
			began++
			ns.update(r)
		}
	}
}

// listenDrops reads TcpExtListenDrops of a process's network namespace.
func (r *reader) listenDrops(pid int) (total uint64, ok bool) {
	fs, err := procfs.NewFS(r.proc)
	if err != nil {
		return 0, false
	}
	p, err := fs.Proc(pid)
	if err != nil {
		return 0, false
	}
	n, err := p.Netstat()
	if err != nil || n.ListenDrops == nil {
		return 0, false
	}
	return uint64(*n.ListenDrops), true
}
