// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func openFiles(kind, help string) *Metric {
	return &Metric{Name: "headroom.process.file_descriptor.kind", Attr: "kind=" + kind, Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: help, Series: true}
}

// What processes hold open, and how much they may.
var (
	ProcessFDs         = &Metric{Name: "process.unix.file_descriptor.count", Unit: Count, Kind: Gauge, Fold: Highest, About: Process, Help: "File descriptors in use.", Series: true, Keep: &Keep{From: 64}, Limit: ProcessFDLimit}
	ProcessFDLimit     = &Metric{Name: "headroom.process.file_descriptor.limit", Attr: "kind=soft", Unit: Count, Kind: Gauge, Fold: Lowest, About: Process, Help: "How many it may have (RLIMIT_NOFILE, soft); read of processes that have 64 or more."}
	ProcessFDHardLimit = &Metric{Name: "headroom.process.file_descriptor.limit", Attr: "kind=hard", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Up to where it may raise that itself (RLIMIT_NOFILE, hard).", Internal: true}
	ProcessFDSockets   = openFiles("socket", "Descriptors that are sockets.")
	ProcessFDFiles     = openFiles("file", "Descriptors that are files, folders or devices.")
	ProcessFDPipes     = openFiles("pipe", "Descriptors that are pipes.")
	ProcessFDAnon      = openFiles("anon", "Descriptors of the kernel's own kinds: epoll, eventfd, timerfd, inotify.")
	ProcessFDRefused   = &Metric{Name: "headroom.process.file_descriptor.refused", Unit: Count, Kind: Counter, About: Process, Help: "Calls that failed for want of a descriptor (EMFILE, ENFILE), counted while the process is near its limit.", Zeroed: true, Series: true}

	HostFDs     = &Metric{Name: "headroom.host.file_descriptor.count", Unit: Count, Kind: Gauge, Fold: Summed, About: Node, Help: "Open files of the whole host (fs.file-nr).", Series: true, Keep: &Keep{From: 0}, Limit: HostFDLimit}
	HostFDLimit = &Metric{Name: "headroom.host.file_descriptor.limit", Unit: Count, Kind: Gauge, Fold: Summed, About: Node, Help: "How many there may be (fs.file-max)."}
)

var filesMetrics = []*Metric{ProcessFDs, ProcessFDLimit, ProcessFDHardLimit, ProcessFDSockets, ProcessFDFiles, ProcessFDPipes, ProcessFDAnon, ProcessFDRefused, HostFDs, HostFDLimit}
