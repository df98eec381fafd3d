// SPDX-License-Identifier: Apache-2.0

package patience

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stallLooks is the number of consecutive checks of a FUSE connection that must
	// find a waiting request before the connection counts as not answering, and
	// stallStep is the time between the checks. A connection that answers has moments
	// without a waiting request.
	stallLooks = 5
	stallStep  = 10 * time.Millisecond
)

// stalls reports whether a call would wait for a FUSE connection that leaves other
// requests waiting. Such a call is not made: no signal ends the wait for a request that
// the daemon has read, so that the thread, and with it headroom, could not end before
// the daemon does.
func (p *Patience) stalls(c *call) bool {
	if !p.waiting(c.dev) {
		return false
	}
	known := p.knownToHang(c.dev)
	for i := 1; i < stallLooks && !known; i++ {
		time.Sleep(stallStep)
		if !p.waiting(c.dev) {
			return false
		}
	}
	if !known {
		c.name, c.at = p.name(c.PID), p.mountOf(c)
		p.mu.Lock()
		p.unasked[c.dev] = c
		p.mu.Unlock()
	}
	return true
}

// knownToHang reports whether a Gap already names the device.
func (p *Patience) knownToHang(dev uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.hanging {
		if h.dev == dev && h.blamesDevice() {
			return true
		}
	}
	return p.unasked[dev] != nil
}

// settle drops the connections that answer again.
func (p *Patience) settle() {
	for dev := range p.unasked {
		if !p.waiting(dev) {
			delete(p.unasked, dev)
		}
	}
}

// waiting reports whether a FUSE connection has unanswered requests. It returns false
// if the kernel's list of connections cannot be read.
func (p *Patience) waiting(dev uint64) bool {
	if unix.Major(dev) != 0 {
		return false
	}
	b, err := os.ReadFile(filepath.Join(p.fuse(), connection(dev), "waiting"))
	return err == nil && !bytes.Equal(bytes.TrimSpace(b), []byte("0"))
}

// connections is the directory in which the kernel lists the connections of FUSE file
// systems by device number.
const connections = "/sys/fs/fuse/connections"

// listConnections returns a directory with the kernel's list of connections. If the
// list is not mounted, it is mounted so that no other process sees the mount, which
// requires CAP_SYS_ADMIN and lasts as long as headroom.
func listConnections() string {
	if entries, err := os.ReadDir(connections); err != nil || len(entries) > 0 {
		return connections // mounted, or a kernel without FUSE
	}
	config, err := unix.Fsopen("fusectl", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return connections
	}
	defer unix.Close(config) //nolint:errcheck // nothing was written
	if unix.FsconfigCreate(config) != nil {
		return connections
	}
	dir, err := unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return connections
	}
	return "/proc/self/fd/" + strconv.Itoa(dir)
}

func connection(dev uint64) string { return strconv.Itoa(int(unix.Minor(dev))) }
