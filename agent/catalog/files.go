// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func openFiles(kind, help string) *Metric {
	return &Metric{Name: "headroom.process.file_descriptor.kind", Attr: "kind=" + kind, Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: help, Series: true}
}

// Open file descriptors and their limits.
var (
	ProcessFDs         = &Metric{Name: "process.unix.file_descriptor.count", Unit: Count, Kind: Gauge, Fold: Highest, About: Process, Help: "File descriptors in use.", Series: true, Keep: &Keep{From: 64}, Limit: ProcessFDLimit}
	ProcessFDLimit     = &Metric{Name: "headroom.process.file_descriptor.limit", Attr: "kind=soft", Unit: Count, Kind: Gauge, Fold: Lowest, About: Process, Help: "Soft limit of file descriptors of the process (RLIMIT_NOFILE); present for processes with 64 or more descriptors, with half of a limit of 16 or more, or with refused calls."}
	ProcessFDHardLimit = &Metric{Name: "headroom.process.file_descriptor.limit", Attr: "kind=hard", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Hard limit of file descriptors of the process (RLIMIT_NOFILE).", Internal: true}
	ProcessFDSockets   = openFiles("socket", "File descriptors that are sockets.")
	ProcessFDFiles     = openFiles("file", "File descriptors that are files, directories or devices.")
	ProcessFDPipes     = openFiles("pipe", "File descriptors that are pipes.")
	ProcessFDAnon      = openFiles("anon", "File descriptors of kernel objects: epoll, eventfd, timerfd, inotify.")
	ProcessFDRefused   = &Metric{Name: "headroom.process.file_descriptor.refused", Unit: Count, Kind: Counter, About: Process, Help: "System calls that failed because no file descriptor was left (EMFILE, ENFILE); counted while the process is near its limit.", Zeroed: true, Series: true}

	HostFDs     = &Metric{Name: "headroom.host.file_descriptor.count", Unit: Count, Kind: Gauge, Fold: Summed, About: Node, Help: "Open files of the whole host (fs.file-nr).", Series: true, Keep: &Keep{From: 0}, Limit: HostFDLimit}
	HostFDLimit = &Metric{Name: "headroom.host.file_descriptor.limit", Unit: Count, Kind: Gauge, Fold: Summed, About: Node, Help: "Open files that the host allows (fs.file-max)."}
)

var filesMetrics = []*Metric{ProcessFDs, ProcessFDLimit, ProcessFDHardLimit, ProcessFDSockets, ProcessFDFiles, ProcessFDPipes, ProcessFDAnon, ProcessFDRefused, HostFDs, HostFDLimit}
