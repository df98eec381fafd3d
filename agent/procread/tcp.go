// SPDX-License-Identifier: Apache-2.0

package procread

import (
	"net"
	"net/netip"

	"github.com/prometheus/procfs"
)

// States of a TCPSocket (include/net/tcp_states.h).
const (
	Established = 1
	Listening   = 10
)

// A TCPSocket is a socket of a network namespace.
type TCPSocket struct {
	Local, Remote netip.AddrPort // IPv4 addresses are not mapped to IPv6
	State         uint64         // Established, Listening, …
	Inode         uint64         // 0 if no process has it open any more
}

// TCPSockets reads the sockets of the network namespace of a process. dir is its folder in
// /proc: netlink would read only the namespace of its caller.
func TCPSockets(dir string) ([]TCPSocket, error) {
	fs, err := procfs.NewFS(dir)
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 netlink only reads the network namespace of its caller
	rows, err := fs.NetTCP()
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 as above
	if v6, err := fs.NetTCP6(); err == nil { // not on a kernel without IPv6
		rows = append(rows, v6...)
	}
	sockets := make([]TCPSocket, 0, len(rows))
	for _, row := range rows {
		sockets = append(sockets, TCPSocket{addressOf(row.LocalAddr, row.LocalPort), addressOf(row.RemAddr, row.RemPort), row.St, row.Inode})
	}
	return sockets, nil
}

func addressOf(ip net.IP, port uint64) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), uint16(port))
}
