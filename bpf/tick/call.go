// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"encoding/binary"
	"net/netip"
)

// Call is the time for which ticks were blocked in one system call on one target.
type Call struct {
	Nr     int32 // number of the system call on this architecture, or CallFault, CallStopped, CallOther
	Times  uint32
	NS     uint64
	Target Target // the last target of the calls counted together
}

// LoopCall is a Call of all finished ticks of a loop.
type LoopCall struct {
	Call
	InLong uint64 // the part of NS in long ticks
}

// TargetKind is the kind of a Target.
type TargetKind uint8

// The kinds of targets.
const (
	NoTarget     = TargetKind(tickTargetKindTARGET_NONE)   // the call takes no descriptor
	FileTarget   = TargetKind(tickTargetKindTARGET_FILE)   // a regular file, a directory or a block device
	PipeTarget   = TargetKind(tickTargetKindTARGET_PIPE)   // a pipe or a FIFO
	DeviceTarget = TargetKind(tickTargetKindTARGET_DEVICE) // a character device, such as a terminal
	InetTarget   = TargetKind(tickTargetKindTARGET_INET)   // a TCP or UDP socket
	UnixTarget   = TargetKind(tickTargetKindTARGET_UNIX)
	OtherTarget  = TargetKind(tickTargetKindTARGET_OTHER) // other sockets, and epoll, eventfd, inotify …
)

// Target is the object of a system call, such as a file or a socket. It was read
// while the call slept.
type Target struct {
	Kind  TargetKind
	FD    int32  // -1: a file mapped into memory
	Inode uint64 // of the file or pipe
	// Major and Minor are the device of the file system.
	Major, Minor uint32
	// Port is the lower of the two ports of an inet socket, which is the service's.
	Port uint16
	// Served is set if the peer has the higher port: it is a client.
	Served bool
	// Local is set if the peer is on this host, in the same network namespace.
	Local bool
	// Peer is the address of an inet socket's peer; not valid for IPv6.
	Peer netip.Addr
	// PeerPID is the process at the other end of a Unix socket: the one that listened,
	// connected, or created the pair. 0 if it is not known.
	PeerPID int
}

// Flags of struct target, macros in lib/target.bpf.h.
const (
	targetLocal  = 1
	targetServed = 2
)

// minorBits is how many bits of the kernel's dev_t are the minor number.
const minorBits = 20

func makeTarget(v tickTarget) Target {
	t := Target{
		Kind: TargetKind(v.Kind), FD: v.Fd, Inode: v.Inode,
		Major: v.Dev >> minorBits, Minor: v.Dev & (1<<minorBits - 1),
		Port: v.Port, Served: v.Flags&targetServed != 0, Local: v.Flags&targetLocal != 0,
	}
	switch {
	case t.Kind == UnixTarget:
		t.PeerPID = int(v.Address)
	case t.Kind == InetTarget && v.Address != 0:
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], v.Address)
		t.Peer = netip.AddrFrom4(b)
	}
	return t
}

func makeCall(v tickCall) Call { return Call{v.Nr, v.Times, v.Ns, makeTarget(v.Target)} }

func fillCalls(l *Loop, v *tickLoop) {
	l.BlockedBy = l.BlockedBy[:0]
	for i := range v.BlockedBy {
		if c := &v.BlockedBy[i]; c.All.Times != 0 {
			l.BlockedBy = append(l.BlockedBy, LoopCall{makeCall(c.All), c.InLong})
		}
	}
}
