// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/procread"
)

// A connection is one end of an established TCP connection.
type connection struct {
	local, remote netip.AddrPort
	inode         uint64
	// sent and received are the bytes since it was opened; counted is set if they are
	// known: /proc/PID/net/tcp does not have them.
	sent, received uint64
	counted        bool
}

// Layout of struct inet_diag_req_v2, of inet_diag_msg and of tcp_info
// (include/uapi/linux/inet_diag.h, tcp.h).
const (
	diagRequestSize, diagMessageSize = 56, 72
	// diagByFamily is SOCK_DIAG_BY_FAMILY.
	diagByFamily = 20
	diagPort     = 8 // of the request: local, then remote
	diagInode    = 68
	// diagInfo is INET_DIAG_INFO. tcp_info begins to have bytes in Linux 4.1.
	diagInfo                = 2
	infoAcked, infoReceived = 120, 128
)

// ownConnections returns the established connections of headroom's own network namespace
// from or to a port, 0 for any.
func ownConnections(local, remote uint16) ([]connection, error) {
	return ownSockets(procread.Established, local, remote)
}

// ownSockets is ownConnections for the sockets in another state. A netlink socket sees
// only its own namespace.
func ownSockets(state, local, remote uint16) ([]connection, error) {
	var all []connection
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var body [diagRequestSize]byte
		body[0], body[1], body[2] = family, unix.IPPROTO_TCP, 1<<(diagInfo-1)
		binary.NativeEndian.PutUint32(body[4:], 1<<state)
		binary.BigEndian.PutUint16(body[diagPort:], local)
		binary.BigEndian.PutUint16(body[diagPort+2:], remote)
		req := nl.NewNetlinkRequest(diagByFamily, unix.NLM_F_DUMP)
		req.AddRawData(body[:])
		err := req.ExecuteIter(unix.NETLINK_SOCK_DIAG, diagByFamily, func(msg []byte) bool {
			if c, ok := parseConnection(msg); ok {
				all = append(all, c)
			}
			return len(all) < maxConnections
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parseConnection reads the addresses, the inode and the bytes of a socket.
func parseConnection(b []byte) (c connection, ok bool) {
	if len(b) < diagMessageSize {
		return c, false
	}
	size := 4
	if b[0] == unix.AF_INET6 {
		size = 16
	}
	at := func(port, address int) netip.AddrPort {
		ip, _ := netip.AddrFromSlice(b[address : address+size])
		return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(b[port:]))
	}
	c.local, c.remote = at(4, 8), at(6, 24)
	c.inode = uint64(binary.NativeEndian.Uint32(b[diagInode:]))
	for rest := b[diagMessageSize:]; len(rest) >= unix.SizeofRtAttr; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length < unix.SizeofRtAttr || length > len(rest) {
			break
		}
		info := rest[unix.SizeofRtAttr:length]
		if binary.NativeEndian.Uint16(rest[2:]) == diagInfo && len(info) >= infoReceived+8 {
			c.sent, c.received = binary.NativeEndian.Uint64(info[infoAcked:]), binary.NativeEndian.Uint64(info[infoReceived:])
			c.counted = true
		}
		rest = rest[min(len(rest), (length+3)&^3):]
	}
	return c, true
}

// connectionsOf yields the established connections in the network namespace of a process.
func connectionsOf(proc string, pid int, yield func(connection)) error {
	sockets, err := procread.TCPSockets(filepath.Join(proc, strconv.Itoa(pid)))
	if err != nil {
		return err
	}
	for _, s := range sockets {
		if s.State == procread.Established {
			yield(connection{inode: s.Inode, local: s.Local, remote: s.Remote})
		}
	}
	return nil
}
