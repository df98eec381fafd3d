// SPDX-License-Identifier: Apache-2.0

// Package nic samples the network interfaces of the network namespace that headroom
// runs in: traffic, drops, the send queue, and the speed of the link if it is
// known. The speed of an interface without hardware is meaningless (veth reports 10
// Gb/s) and ignored.
package nic

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "nic"

// Sampler reads rtnetlink and /sys/class/net.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads traffic, drops, send queues and speed of network interfaces (rtnetlink, /sys/class/net).",
	Provides: []*observe.Metric{catalog.NICReceived, catalog.NICSent, catalog.NICPacketsIn, catalog.NICPacketsOut,
		catalog.NICDroppedIn, catalog.NICDroppedOut, catalog.NICErrorsIn, catalog.NICErrorsOut,
		catalog.NICSpeed, catalog.NICQueueDropped, catalog.NICQueueOverlimits, catalog.NICQueueBacklog, catalog.NICShapedTo},
	Every: time.Second,
	Open:  open,
}

const (
	// maxInterfaces is the maximum number of interfaces reported: a node has a veth
	// for each of 250 pods, bridges, tunnels and VLANs.
	maxInterfaces = 1024
	// settingFor is how long speeds and shapers are cached.
	settingFor = 10 * time.Second
)

type reader struct {
	index  *observe.Index
	node   observe.ID
	sys    string
	routes *routes
	links  map[int32]*link
	round  int
	hidden error     // reason why speeds are not known
	until  time.Time // expiry of the cached speeds and shapers
	slow   bool      // speeds and shapers are read in this reading
}

// A link is an interface that is reported.
type link struct {
	id    observe.ID
	name  string
	round int
	speed float64 // bytes per second; 0 if not known
	rate  float64 // of a shaper, in bytes per second; 0 if not known
}

func open(h *sampler.Host) (sampler.Reader, error) {
	rt, err := openRoutes()
	if err != nil {
		if err := sampler.Explain(err); errors.Is(err, sampler.ErrNotSupported) {
			return nil, err
		}
		return nil, sampler.NotSupported("allow AF_NETLINK: RestrictAddressFamilies= of a systemd unit, or the seccomp profile of a container", "network interfaces cannot be listed: %v", err)
	}
	return &reader{index: h.Index, node: h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}), sys: h.Sys, hidden: sampler.Hidden(filepath.Join(h.Sys, "class/net")), routes: rt, links: make(map[int32]*link)}, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	r.round++
	r.slow = time.Now().After(r.until)
	more := false
	err := r.routes.links(func(m linkMessage) {
		if m.loopback {
			return
		}
		if l := r.link(s, &m); l != nil {
			r.write(s, l, &m)
		} else {
			more = true
		}
	})
	if err != nil {
		return fmt.Errorf("read network interfaces: %w", err)
	}
	if err := r.hidden; err != nil {
		sampler.Gap(s, name, err)
	}
	if more {
		s.Gap(name, fmt.Sprintf("some network interfaces are not observed: the limit of %d was reached", maxInterfaces), "")
	}
	r.end(s)
	if r.slow {
		r.until = time.Now().Add(settingFor)
	}
	return r.queues(s)
}

// link returns the interface, nil if the limit is reached.
func (r *reader) link(s *observe.Snapshot, m *linkMessage) *link {
	l := r.links[m.index]
	if l != nil && l.name == string(m.name) {
		l.round = r.round
		if r.slow {
			l.speed, _ = r.hardware(m)
		}
		return l
	}
	if l != nil { // renamed, or its number was reused
		s.End(l.id, "gone")
		delete(r.links, m.index)
	}
	if len(r.links) >= maxInterfaces {
		return nil
	}
	l = &link{name: string(m.name), round: r.round}
	l.id = r.index.ID(observe.Entity{Kind: observe.NIC, ID: l.name})
	info := observe.Info{Parent: r.index.Entity(r.node), Attrs: map[string]string{catalog.AttrInterface: l.name}}
	speed, virtual := r.hardware(m)
	if virtual {
		info.Attrs[catalog.AttrVirtual] = "true"
	}
	r.index.Describe(l.id, info)
	l.speed = speed
	r.links[m.index] = l
	return l
}

func (r *reader) end(s *observe.Snapshot) {
	for index, l := range r.links {
		if l.round != r.round {
			s.End(l.id, "gone")
			delete(r.links, index)
		}
	}
}

func (r *reader) write(s *observe.Snapshot, l *link, m *linkMessage) {
	if l.speed > 0 {
		s.Set(catalog.NICSpeed, l.id, l.speed)
	}
	if !m.counted {
		return
	}
	c := &m.counters
	s.Set(catalog.NICPacketsIn, l.id, float64(c.packetsIn))
	s.Set(catalog.NICPacketsOut, l.id, float64(c.packetsOut))
	s.Set(catalog.NICReceived, l.id, float64(c.bytesIn))
	s.Set(catalog.NICSent, l.id, float64(c.bytesOut))
	s.Set(catalog.NICErrorsIn, l.id, float64(c.errorsIn))
	s.Set(catalog.NICErrorsOut, l.id, float64(c.errorsOut))
	s.Set(catalog.NICDroppedIn, l.id, float64(c.droppedIn)+float64(c.missedIn))
	s.Set(catalog.NICDroppedOut, l.id, float64(c.droppedOut))
}

// hardware returns the speed in bytes per second, 0 if it is not known, and whether
// the interface has no hardware. An interface with a kind (veth, bridge, vxlan;
// rtnl_link_ops in the kernel) has none. /sys shows the interfaces of the namespace
// that it was mounted in: an entry is used only if its number and address match the
// interface.
func (r *reader) hardware(m *linkMessage) (speed float64, virtual bool) {
	if len(m.kind) > 0 {
		return 0, true
	}
	dir := filepath.Join(r.sys, "class/net", string(m.name))
	if readText(dir+"/ifindex") != strconv.Itoa(int(m.index)) || readText(dir+"/address") != colons(m.address) {
		return 0, false
	}
	if _, err := os.Stat(dir + "/device"); err != nil {
		return 0, true
	}
	return parseSpeed(readText(dir + "/speed")), false
}

func readText(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "" // speed: EINVAL while the link is down
	}
	return strings.TrimSpace(string(b))
}

// parseSpeed parses megabits per second: -1, or 2^32-1 on old kernels, if the
// driver does not know (SPEED_UNKNOWN in include/uapi/linux/ethtool.h).
//
//	1000
func parseSpeed(text string) float64 {
	const megabit = 1e6 / 8
	v, err := strconv.ParseInt(text, 10, 32)
	if err != nil || v <= 0 {
		return 0
	}
	return float64(v) * megabit
}

// colons formats a hardware address as /sys does.
func colons(address []byte) string {
	var b strings.Builder
	for i, octet := range address {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02x", octet)
	}
	return b.String()
}

// queues writes the root queueing disciplines.
func (r *reader) queues(s *observe.Snapshot) error {
	err := r.routes.qdiscs(func(m qdiscMessage) {
		l := r.links[m.index]
		if l == nil || !m.root {
			return
		}
		if r.slow {
			l.rate = m.rate
			if string(m.kind) == "htb" {
				l.rate = r.routes.htbRate(m.index)
			}
		}
		if l.rate > 0 {
			s.Set(catalog.NICShapedTo, l.id, l.rate)
		}
		if m.counted {
			s.Set(catalog.NICQueueDropped, l.id, float64(m.drops))
			s.Set(catalog.NICQueueOverlimits, l.id, float64(m.overlimits))
			s.Set(catalog.NICQueueBacklog, l.id, float64(m.backlog))
		}
	})
	if err != nil {
		return fmt.Errorf("read send queues: %w", err)
	}
	return nil
}

// Close implements sampler.Reader.
func (r *reader) Close() error {
	r.routes.close()
	return nil
}
