// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// A diag reads the sockets of headroom's own network namespace through inet_diag.
type diag struct {
	socket *nl.NetlinkSocket
	kept   map[int]*nl.SocketHandle
}

func newDiag() (*diag, error) {
	s, err := nl.Subscribe(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	if err := s.SetReceiveTimeout(&nl.SocketTimeoutTv); err != nil {
		s.Close()
		return nil, err
	}
	return &diag{s, map[int]*nl.SocketHandle{unix.NETLINK_SOCK_DIAG: {Socket: s}}}, nil
}

func (d *diag) close() { d.socket.Close() }

// Layout of struct inet_diag_req_v2 and inet_diag_msg
// (include/uapi/linux/inet_diag.h).
const (
	requestSize = 56
	messageSize = 72
	// sockDiagByFamily is SOCK_DIAG_BY_FAMILY.
	sockDiagByFamily = 20
	// wanted holds all states except CLOSE and NEW_SYN_RECV, which is not a connection
	// yet and belongs to the listener.
	wanted = 1<<12 - 2 - 1<<stateClose
)

// read counts the sockets of both address families.
func (d *diag) read(t *table) error {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var body [requestSize]byte
		body[0], body[1] = family, unix.IPPROTO_TCP
		binary.NativeEndian.PutUint32(body[4:], wanted)
		req := nl.NewNetlinkRequest(sockDiagByFamily, unix.NLM_F_DUMP)
		req.Sockets = d.kept
		req.AddRawData(body[:])
		err := req.ExecuteIter(unix.NETLINK_SOCK_DIAG, sockDiagByFamily, func(msg []byte) bool {
			s, ok := parseDiag(msg)
			return !ok || t.add(s)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// parseDiag reads family, state, two ports and two addresses in network order
// from the beginning of an inet_diag_msg, and the inode from its end.
func parseDiag(b []byte) (s socket, ok bool) {
	if len(b) < messageSize {
		return s, false
	}
	size := 4
	if b[0] == unix.AF_INET6 {
		size = 16
	}
	s.state = b[1]
	s.local, s.port = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	source, _ := netip.AddrFromSlice(b[8 : 8+size])
	destination, _ := netip.AddrFromSlice(b[24 : 24+size])
	s.source, s.destination = source.Unmap(), destination.Unmap()
	s.inode = uint64(binary.NativeEndian.Uint32(b[68:]))
	return s, true
}
