// SPDX-License-Identifier: Apache-2.0

package tick

// Calls that arm64 never had.
const callEpollWait, callOpen, callSelect = -101, -102, -103
