// SPDX-License-Identifier: Apache-2.0

package fd

// perDrop is the maximum number of times that sk_drops counts a dropped connection:
// once, or twice if the last packet of the handshake finds the queue full
// (tcp_v4_syn_recv_sock, and tcp_v4_rcv that then discards the packet).
// TcpExtListenDrops counts it once.
const perDrop = 2

// dropped counts the connections that all listeners of a network namespace dropped.
// sk_drops of a socket counts every packet that it discards. With TCP_DEFER_ACCEPT
// (the default in Apache) that includes the bare ACK that ends the handshake,
// although nothing is lost. So sk_drops is limited to the number of dropped
// connections that the namespace counts.
type dropped struct {
	round int // the last pass that saw a listener of it
	pid   int // of a process in the namespace
	read  int // the last pass that read total, 0 for none
	total uint64
	// room is the number of drops of its sockets that the namespace explains in this
	// pass. spare is what the previous pass did not use: the two counters are not read
	// at the same moment.
	room, spare uint64
	known       bool
}

// watchDrops adds the packets that the socket discarded since the last pass. The
// count that a listener has at its first pass is taken as it is.
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

// explained returns how many of the discarded packets are connections that the
// namespace counts as dropped. If its counter cannot be read, all are.
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

// update reads the counter of the namespace. The first reading has nothing to
// compare with and explains no drop.
func (ns *dropped) update(r *reader) {
	total, ok := r.listenDrops(ns.pid)
	ns.spare, ns.room = ns.room, 0
	if ok && ns.known && total > ns.total {
		ns.room = perDrop * (total - ns.total)
	}
	ns.total, ns.known, ns.read = total, ok, r.round
}

// newAccounts is the maximum number of namespaces whose counter is read for the
// first time in one pass: a full node has 250, at about 0.1 ms each.
const newAccounts = 16

// keepAccounts reads the counters of some new namespaces, before they are needed,
// and drops namespaces without a listener.
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
	p, err := r.fs.Proc(pid)
	if err != nil {
		return 0, false
	}
	n, err := p.Netstat()
	if err != nil || n.ListenDrops == nil {
		return 0, false
	}
	return uint64(*n.ListenDrops), true
}
