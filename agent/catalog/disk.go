// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func disk(name, direction string, unit Unit, help string) *Metric {
	return &Metric{Name: "system.disk." + name, Attr: "disk.io.direction=" + direction, Unit: unit, Kind: Counter, About: Disk, Help: help, Series: true}
}

// Whole disks, not their partitions, from /proc/diskstats
// (Documentation/admin-guide/iostats.rst).
var (
	DiskRead       = disk("io", "read", Bytes, "Bytes read.")
	DiskWritten    = disk("io", "write", Bytes, "Bytes written.")
	DiskReads      = disk("operations", "read", "{operation}", "Reads that ended.")
	DiskWrites     = disk("operations", "write", "{operation}", "Writes that ended.")
	DiskReadTime   = disk("operation_time", "read", Seconds, "Time that each read took, queueing included, added up.")
	DiskWriteTime  = disk("operation_time", "write", Seconds, "Time that each write took, queueing included, added up.")
	DiskBusy       = &Metric{Name: "system.disk.io_time", Unit: Seconds, Kind: Counter, Activity: true, About: Disk, Help: "Time in which the disk had something to do. A disk that works on many requests at once is not full when it always has one.", Series: true}
	DiskQueueTime  = &Metric{Name: "headroom.disk.queue.time", Unit: Seconds, Kind: Counter, About: Disk, Help: "Requests in flight, added up over time: its rate is their average number.", Series: true}
	DiskInFlight   = &Metric{Name: "headroom.disk.in_flight", Unit: Count, Kind: Gauge, Fold: Summed, About: Disk, Help: "Requests in flight at the moment of the reading."}
	DiskRotational = &Metric{Name: "headroom.disk.rotational", Unit: Count, Kind: Gauge, Fold: Highest, About: Disk, Help: "1 for a disk that spins, 0 for others; virtual disks say what their host tells them."}
)

var diskMetrics = []*Metric{DiskRead, DiskWritten, DiskReads, DiskWrites, DiskReadTime, DiskWriteTime, DiskBusy, DiskQueueTime, DiskInFlight, DiskRotational}
