// SPDX-License-Identifier: Apache-2.0

package nic

import (
	"bytes"
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// A linkMessage is the content of RTM_NEWLINK. It refers to the bytes of the
// message.
type linkMessage struct {
	index               int32
	loopback            bool
	name, address, kind []byte
	counted             bool
	counters            counters
}

// counters holds values of struct rtnl_link_stats64.
type counters struct {
	packetsIn, packetsOut, bytesIn, bytesOut   uint64
	errorsIn, errorsOut, droppedIn, droppedOut uint64
	missedIn                                   uint64 // dropped by the card because its buffers were full
}

// Attributes of a link (include/uapi/linux/if_link.h).
const (
	linkAddress = 1
	linkName    = 3
	linkInfo    = 18
	linkStats64 = 23
	infoKind    = 1
)

// parseLink reads struct ifinfomsg and its attributes.
func parseLink(b []byte) (m linkMessage, ok bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return m, false
	}
	m.index = int32(binary.NativeEndian.Uint32(b[4:]))
	m.loopback = binary.NativeEndian.Uint32(b[8:])&unix.IFF_LOOPBACK != 0
	for kind, value := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case linkAddress:
			m.address = value
		case linkName:
			m.name = text(value)
		case linkInfo:
			for kind, value := range attributes(value) {
				if kind == infoKind {
					m.kind = text(value)
				}
			}
		case linkStats64:
			m.counters, m.counted = parseCounters(value)
		}
	}
	return m, len(m.name) > 0
}

// parseCounters reads the beginning of struct rtnl_link_stats64: packets, bytes,
// errors and drops, each received and sent, multicast, collisions, and, among the
// errors, packets for which the card had no buffer.
func parseCounters(b []byte) (c counters, ok bool) {
	for i, to := range []*uint64{&c.packetsIn, &c.packetsOut, &c.bytesIn, &c.bytesOut, &c.errorsIn, &c.errorsOut, &c.droppedIn, &c.droppedOut,
		nil, nil, nil, nil, nil, nil, nil, &c.missedIn} {
		if len(b) < 8*(i+1) {
			return c, false
		}
		if to != nil {
			*to = binary.NativeEndian.Uint64(b[8*i:])
		}
	}
	return c, true
}

// A qdiscMessage is the content of RTM_NEWQDISC.
type qdiscMessage struct {
	index                      int32
	root                       bool
	kind                       []byte
	rate                       float64 // of tbf, in bytes per second
	counted                    bool
	backlog, drops, overlimits uint32
}

// Attributes of queueing disciplines and classes, and of the shapers' options
// (include/uapi/linux/rtnetlink.h, gen_stats.h and pkt_sched.h).
const (
	// trafficSize is the size of struct tcmsg.
	trafficSize    = 20
	trafficRoot    = 0xffffffff // TC_H_ROOT
	trafficKind    = 1
	trafficOptions = 2
	trafficStats2  = 7
	statsQueue     = 3
	tbfParms       = 1
	tbfRate64      = 4
	htbParms       = 1
	htbCeil64      = 7
	// rateSize is the size of struct tc_ratespec; its last word is the rate.
	rateSize = 12
)

func parseQdisc(b []byte) (m qdiscMessage, ok bool) {
	if len(b) < trafficSize {
		return m, false
	}
	m.index = int32(binary.NativeEndian.Uint32(b[4:]))
	m.root = binary.NativeEndian.Uint32(b[12:]) == trafficRoot
	var options []byte
	for kind, value := range attributes(b[trafficSize:]) {
		switch kind {
		case trafficKind:
			m.kind = text(value)
		case trafficOptions:
			options = value
		case trafficStats2:
			m.queue(value)
		}
	}
	if string(m.kind) == "tbf" {
		m.rate = rateOf(options, tbfParms, 0, tbfRate64)
	}
	return m, true
}

// queue reads struct gnet_stats_queue: length, backlog, drops, requeues and
// overlimits, 32 bits each, which wrap around to 0.
func (m *qdiscMessage) queue(stats []byte) {
	for kind, value := range attributes(stats) {
		if kind == statsQueue && len(value) >= 20 {
			m.counted = true
			m.backlog = binary.NativeEndian.Uint32(value[4:])
			m.drops = binary.NativeEndian.Uint32(value[8:])
			m.overlimits = binary.NativeEndian.Uint32(value[16:])
		}
	}
}

// parseClass returns the ceiling of an htb class without a parent class.
func parseClass(b []byte) (ceiling float64, ok bool) {
	if len(b) < trafficSize || binary.NativeEndian.Uint32(b[12:]) != trafficRoot {
		return 0, false
	}
	for kind, value := range attributes(b[trafficSize:]) {
		if kind == trafficOptions {
			// struct tc_htb_opt: rate, then ceiling.
			ceiling = rateOf(value, htbParms, rateSize, htbCeil64)
		}
	}
	return ceiling, ceiling > 0
}

// rateOf returns the rate, in bytes per second, of the tc_ratespec at an offset of
// the parameters; a rate of 32 Gb/s or more has its own attribute.
func rateOf(options []byte, parms uint16, offset int, rate64 uint16) float64 {
	rate := 0.0
	for kind, value := range attributes(options) {
		switch {
		case kind == rate64 && len(value) >= 8:
			return float64(binary.NativeEndian.Uint64(value))
		case kind == parms && len(value) >= offset+rateSize:
			rate = float64(binary.NativeEndian.Uint32(value[offset+rateSize-4:]))
		}
	}
	return rate
}

// attributes yields type and value of each netlink attribute: length and type with
// 16 bits each, the value, and zeros up to a multiple of four.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	const (
		header        = 4
		attributeType = 1<<14 - 1 // NLA_TYPE_MASK (include/uapi/linux/netlink.h)
	)
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= header {
			size := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) & attributeType
			if size < header || size > len(b) || !yield(kind, b[header:size]) {
				return
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
}

// text returns b up to its first zero byte.
func text(b []byte) []byte {
	t, _, _ := bytes.Cut(b, []byte{0})
	return t
}
