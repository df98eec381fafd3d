// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Layout of struct inet_diag_req_v2, inet_diag_msg and of the attribute with socket
// memory (include/uapi/linux/inet_diag.h, sock_diag.h).
const (
	diagRequestSize = 56
	diagMessageSize = 72
	// diagByFamily is SOCK_DIAG_BY_FAMILY.
	diagByFamily = 20
	diagPort     = 4
	diagSource   = 8
	diagQueue    = 56
	diagBacklog  = 60
	diagInode    = 68
	// diagMemory is INET_DIAG_SKMEMINFO, whose ninth word is sk_drops.
	diagMemory = 7
	memDrops   = 8
	tcpListen  = 10
)

// askListeners reads the listening TCP sockets of headroom's own network namespace
// through inet_diag: a netlink socket sees only its own, and entering another takes
// CAP_SYS_ADMIN. It returns none if the kernel has no inet_diag.
func askListeners() map[uint64]listener {
	found := make(map[uint64]listener)
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var body [diagRequestSize]byte
		body[0], body[1], body[2] = family, unix.IPPROTO_TCP, 1<<(diagMemory-1)
		binary.NativeEndian.PutUint32(body[4:], 1<<tcpListen)
		req := nl.NewNetlinkRequest(diagByFamily, unix.NLM_F_DUMP)
		req.AddRawData(body[:])
		err := req.ExecuteIter(unix.NETLINK_SOCK_DIAG, diagByFamily, func(msg []byte) bool {
			if inode, l, ok := parseListener(msg); ok {
				found[inode] = l
			}
			return len(found) < maxListeners
		})
		if err != nil {
			break
		}
	}
	return found
}

// parseListener reads the address, the current and the maximum length of the accept
// queue, and the number of dropped connections (tcp_diag_get_info in
// net/ipv4/tcp_diag.c).
func parseListener(b []byte) (inode uint64, l listener, ok bool) {
	if len(b) < diagMessageSize || b[1] != tcpListen {
		return 0, l, false
	}
	l.local = diagAddress(b)
	l.queue, l.backlog, l.limited = binary.NativeEndian.Uint32(b[diagQueue:]), binary.NativeEndian.Uint32(b[diagBacklog:]), true
	inode = uint64(binary.NativeEndian.Uint32(b[diagInode:]))
	for rest := b[diagMessageSize:]; len(rest) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(rest))
		if size < unix.SizeofRtAttr || size > len(rest) {
			break
		}
		value := rest[unix.SizeofRtAttr:size]
		if binary.NativeEndian.Uint16(rest[2:]) == diagMemory && len(value) >= 4*(memDrops+1) {
			l.drops, l.dropped = binary.NativeEndian.Uint32(value[4*memDrops:]), true
		}
		rest = rest[min(len(rest), (size+3)&^3):]
	}
	return inode, l, true
}

// diagAddress returns the local address of a socket in a struct inet_diag_msg.
func diagAddress(b []byte) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(b[diagSource : diagSource+net.IPv6len])
	if b[0] == unix.AF_INET {
		ip, _ = netip.AddrFromSlice(b[diagSource : diagSource+net.IPv4len])
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[diagPort:]))
}
