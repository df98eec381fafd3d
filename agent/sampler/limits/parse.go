// SPDX-License-Identifier: Apache-2.0

package limits

import (
	"bytes"

	"github.com/headroom-project/headroom/agent/sampler"
)

// parseTasks returns the number of tasks of the host from /proc/loadavg: the kernel's
// nr_threads, in which a zombie is included until its parent waits for it
// (fs/proc/loadavg.c, __unhash_process in kernel/exit.c).
//
//	1.52 2.60 1.77 1/90 20197
func parseTasks(b []byte) (float64, bool) {
	_, after, ok := bytes.Cut(b, []byte("/"))
	if !ok {
		return 0, false
	}
	n, ok := sampler.Number(after)
	return float64(n), ok
}
