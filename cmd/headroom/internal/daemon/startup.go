// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// forgetStartUp gives back the memory that only starting took: garbage, and those
// pages of the program's file that nobody reads again. What is read again is mapped
// again, from the page cache.
func forgetStartUp() error {
	debug.FreeOSMemory()
	self, err := procfs.Self()
	if err != nil {
		return fmt.Errorf("giving back what starting took: %w", err)
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("giving back what starting took: %w", err)
	}
	maps, err := self.ProcMaps()
	if err != nil {
		return fmt.Errorf("giving back what starting took: %w", err)
	}
	for _, m := range maps {
		if m.Pathname != program || m.Perms.Write {
			continue
		}
		// Pages that were never written to are those of the file (madvise(2)).
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.StartAddr, m.EndAddr-m.StartAddr, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("giving back what starting took: madvise: %w", errno)
		}
	}
	return nil
}
