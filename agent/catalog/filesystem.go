// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func filesystem(name, state string, unit Unit, help string) *Metric {
	return &Metric{Name: name, Attr: "system.filesystem.state=" + state, Unit: unit, Kind: Gauge, Fold: Summed, About: Filesystem, Help: help, Series: true}
}

// Local file systems that can be written to, each once (statfs(2)).
var (
	FilesystemUsed       = kept(filesystem("system.filesystem.usage", "used", Bytes, "Bytes in use."), 1<<20)
	FilesystemFree       = filesystem("system.filesystem.usage", "free", Bytes, "Bytes available to processes without privileges.")
	FilesystemReserved   = filesystem("system.filesystem.usage", "reserved", Bytes, "Free bytes that are reserved for root.")
	FilesystemInodesUsed = kept(filesystem("headroom.filesystem.inodes", "used", Count, "Files and directories (inodes) in use; absent if the file system has no fixed number."), 1000)
	FilesystemInodesFree = filesystem("headroom.filesystem.inodes", "free", Count, "Files and directories (inodes) that can still be created.")
	FilesystemDeleted    = &Metric{Name: "headroom.filesystem.deleted", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Filesystem, Help: "Bytes of deleted files that processes still have open, which keeps their space in use. Read while the file system is almost full, or fills within hours.", Series: true}

	// Of a process and a file system, for those whose FilesystemDeleted is read.
	OpenFilesSize    = internal(&Metric{Name: "headroom.open_files.size", Unit: Bytes, Kind: Gauge, Fold: Summed, About: OpenFiles, Help: "Bytes of the files that the process has open for writing.", Series: true})
	OpenFilesDeleted = internal(&Metric{Name: "headroom.open_files.deleted", Unit: Bytes, Kind: Gauge, Fold: Summed, About: OpenFiles, Help: "Bytes of the deleted files that the process has open.", Series: true})
)

var filesystemMetrics = []*Metric{FilesystemUsed, FilesystemFree, FilesystemReserved, FilesystemInodesUsed, FilesystemInodesFree, FilesystemDeleted, OpenFilesSize, OpenFilesDeleted}
