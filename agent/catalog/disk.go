// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func disk(name, direction string, unit Unit, help string) *Metric {
	return &Metric{Name: "system.disk." + name, Attr: "disk.io.direction=" + direction, Unit: unit, Kind: Counter, About: Disk, Help: help, Series: true}
}

// Whole disks, not their partitions, from /proc/diskstats
// (Documentation/admin-guide/iostats.rst).
var (
	DiskRead       = disk("io", "read", Bytes, "Bytes read from the disk.")
	DiskWritten    = disk("io", "write", Bytes, "Bytes written to the disk.")
	DiskReads      = disk("operations", "read", "{operation}", "Completed reads.")
	DiskWrites     = disk("operations", "write", "{operation}", "Completed writes.")
	DiskReadTime   = disk("operation_time", "read", Seconds, "Sum of the times of reads, queueing included.")
	DiskWriteTime  = disk("operation_time", "write", Seconds, "Sum of the times of writes, queueing included.")
	DiskBusy       = &Metric{Name: "system.disk.io_time", Unit: Seconds, Kind: Counter, Activity: true, About: Disk, Help: "Time in which the disk had at least one request. A disk that handles many requests at a time is not full when it always has one.", Series: true}
	DiskQueueTime  = &Metric{Name: "headroom.disk.queue.time", Unit: Seconds, Kind: Counter, About: Disk, Help: "Requests in flight, integrated over time: its rate is their mean number.", Series: true}
	DiskInFlight   = &Metric{Name: "headroom.disk.in_flight", Unit: Count, Kind: Gauge, Fold: Summed, About: Disk, Help: "Requests in flight at the moment of the reading."}
	DiskRotational = &Metric{Name: "headroom.disk.rotational", Unit: Count, Kind: Gauge, Fold: Highest, About: Disk, Help: "1 for a rotational disk, otherwise 0; virtual disks report what their host sets."}
)

var diskMetrics = []*Metric{DiskRead, DiskWritten, DiskReads, DiskWrites, DiskReadTime, DiskWriteTime, DiskBusy, DiskQueueTime, DiskInFlight, DiskRotational}
