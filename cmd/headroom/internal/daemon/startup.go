// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// forgetStartUp releases memory that only the start needed: garbage, and pages of
// the executable. Pages that are accessed again are mapped from the page cache.
func forgetStartUp() error {
	debug.FreeOSMemory()
	self, err := procfs.Self()
	if err != nil {
		return fmt.Errorf("releasing the memory used at start: %w", err)
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("releasing the memory used at start: %w", err)
	}
	maps, err := self.ProcMaps()
	if err != nil {
		return fmt.Errorf("releasing the memory used at start: %w", err)
	}
	for _, m := range maps {
		if m.Pathname != program || m.Perms.Write {
			continue
		}
		// Pages that were never written to are still those of the file (madvise(2)).
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.StartAddr, m.EndAddr-m.StartAddr, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("releasing the memory used at start: madvise: %w", errno)
		}
	}
	return nil
}
