// SPDX-License-Identifier: Apache-2.0

package tick

import "golang.org/x/sys/unix"

// Calls that newer architectures never had.
const (
	callEpollWait = unix.SYS_EPOLL_WAIT
	callOpen      = unix.SYS_OPEN
	callSelect    = unix.SYS_SELECT
)
