// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// BootID returns the identifier of this boot of the kernel, or "" if it cannot be
// read.
func BootID() string {
	text, _ := os.ReadFile(ProcRoot + "/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(text))
}

// Uptime returns the time since boot, including suspension.
func Uptime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0 // cannot fail since Linux 2.6.39
	}
	return time.Duration(ts.Nano())
}
