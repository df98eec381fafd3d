// SPDX-License-Identifier: Apache-2.0

package nic

import (
	"encoding/binary"
	"errors"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// routes sends requests to the kernel's rtnetlink through sockets that stay open.
// Classes are requested while queueing disciplines are listed, so they have a
// socket of their own.
type routes struct {
	lists, classes *nl.NetlinkSocket
}

func openRoutes() (*routes, error) {
	lists, err := subscribe()
	if err != nil {
		return nil, err
	}
	classes, err := subscribe()
	if err != nil {
		lists.Close()
		return nil, err
	}
	return &routes{lists, classes}, nil
}

func subscribe() (*nl.NetlinkSocket, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := s.SetReceiveTimeout(&nl.SocketTimeoutTv); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (r *routes) close() {
	r.lists.Close()
	r.classes.Close()
}

// dump requests every object of a type. An interface that appears or disappears
// meanwhile makes the list incomplete; the next reading completes it.
func dump(s *nl.NetlinkSocket, request int, answer uint16, body []byte, yield func([]byte)) error {
	req := nl.NewNetlinkRequest(request, unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s, Seq: req.Seq}}
	req.AddRawData(body)
	err := req.ExecuteIter(unix.NETLINK_ROUTE, answer, func(b []byte) bool {
		yield(b)
		return true
	})
	if errors.Is(err, nl.ErrDumpInterrupted) {
		return nil
	}
	return err
}

func (r *routes) links(yield func(linkMessage)) error {
	body := make([]byte, unix.SizeofIfInfomsg)
	return dump(r.lists, unix.RTM_GETLINK, unix.RTM_NEWLINK, body, func(b []byte) {
		if m, ok := parseLink(b); ok {
			yield(m)
		}
	})
}

func (r *routes) qdiscs(yield func(qdiscMessage)) error {
	return dump(r.lists, unix.RTM_GETQDISC, unix.RTM_NEWQDISC, make([]byte, trafficSize), func(b []byte) {
		if m, ok := parseQdisc(b); ok {
			yield(m)
		}
	})
}

// htbRate returns the ceiling of an interface's root class, 0 if it has several:
// then no single number limits what the interface may send.
func (r *routes) htbRate(index int32) float64 {
	body := make([]byte, trafficSize)
	binary.NativeEndian.PutUint32(body[4:], uint32(index))
	rate, roots := 0.0, 0
	err := dump(r.classes, unix.RTM_GETTCLASS, unix.RTM_NEWTCLASS, body, func(b []byte) {
		if ceiling, ok := parseClass(b); ok {
			rate = ceiling
			roots++
		}
	})
	if err != nil || roots != 1 {
		return 0
	}
	return rate
}
