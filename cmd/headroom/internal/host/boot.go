// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// BootID returns the identifier of this boot of the kernel, or "" where it cannot be read.
func BootID() string {
	text, _ := os.ReadFile(ProcRoot + "/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(text))
}

// Uptime returns how long the machine has run, suspended or not.
func Uptime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0 // cannot happen: since Linux 2.6.39
	}
	return time.Duration(ts.Nano())
}
