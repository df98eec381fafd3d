// SPDX-License-Identifier: Apache-2.0

package files

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Visitor receives the records of a pass. Functions that are nil are not called.
type Visitor struct {
	// Process is called once for each table of descriptors. Threads can have
	// their own, so add up the calls for one process.
	Process func(*Process)
	// Listener is called for each descriptor of a listening TCP socket, so
	// several times for a socket that workers share.
	Listener func(*Listener)
}

// Process is the open descriptors of one process.
type Process struct {
	Tgid  uint32
	Start uint64 // ns since boot
	// SoftLimit and HardLimit are RLIMIT_NOFILE; 2^64-1 means no limit.
	SoftLimit, HardLimit uint64
	// Descriptors by kind.
	Sockets, Files, Pipes, Anon uint32
	// TCP connections by state.
	Established, CloseWait, SynSent uint32
	// Listeners are sockets that accept connections, including Unix sockets.
	Listeners uint32
	// Served are established connections that a listener accepted. For TCP, these are
	// connections to a port that has a listener.
	Served uint32
	// Datagram are UDP sockets that serve: bound to a port that the process chose,
	// and not connected.
	Datagram uint32
	// Brokers are established connections to the standard port of a message broker.
	Brokers uint32
	// Backlog are connections that wait for the process: in its accept queues,
	// and served ones with bytes that it has not read or not yet answered.
	Backlog uint32
}

// FDs returns the number of descriptors.
func (p *Process) FDs() int {
	return int(p.Sockets) + int(p.Files) + int(p.Pipes) + int(p.Anon)
}

// Listener is a listening TCP socket.
type Listener struct {
	Tgid  uint32
	Start uint64 // of the process, ns since boot
	Inode uint64
	NetNS uint32 // inode of the network namespace
	Local netip.AddrPort
	// Queue is the number of connections that are not accepted yet, MaxQueue its
	// limit, Drops the number dropped since the socket listens, modulo 2^32.
	Queue, MaxQueue, Drops uint32
	// Somaxconn is net.core.somaxconn of the network namespace, to which listen(2)
	// limits MaxQueue; 0 if it is not known.
	Somaxconn uint32
}

// records passes the records in b to v.
func (p *Probe) records(b []byte, v Visitor) {
	for ; len(b) >= recordSize; b = b[recordSize:] {
		switch filesRecordKind(binary.NativeEndian.Uint32(b)) {
		case filesRecordKindRECORD_PROCESS:
			if v.Process != nil {
				one := process((*filesProcess)(unsafe.Pointer(&b[0])))
				v.Process(&one)
			}
		case filesRecordKindRECORD_LISTENER:
			l := (*filesListener)(unsafe.Pointer(&b[0]))
			p.ports[filesPort{Netns: l.Netns, Number: uint32(l.Port)}] = p.round
			if v.Listener != nil {
				one := listener(l)
				v.Listener(&one)
			}
		}
	}
}

func process(r *filesProcess) Process {
	return Process{
		Tgid: r.Tgid, Start: r.StartBoottime, SoftLimit: r.SoftLimit, HardLimit: r.HardLimit,
		Sockets: r.Sockets, Files: r.Files, Pipes: r.Pipes, Anon: r.Anon,
		Established: r.Established, CloseWait: r.CloseWait, SynSent: r.SynSent,
		Listeners: r.Listeners, Served: r.Served, Datagram: r.Datagram, Brokers: r.Brokers, Backlog: r.Backlog,
	}
}

func listener(r *filesListener) Listener {
	return Listener{
		Tgid: r.Tgid, Start: r.StartBoottime, Inode: r.Inode, NetNS: r.Netns, Local: netip.AddrPortFrom(address(r), r.Port),
		Queue: r.Queue, MaxQueue: r.MaxQueue, Drops: r.Drops, Somaxconn: r.Somaxconn,
	}
}

func address(r *filesListener) netip.Addr {
	if r.Family == unix.AF_INET6 {
		return netip.AddrFrom16(r.Address)
	}
	return netip.AddrFrom4([4]byte(r.Address[:4]))
}
