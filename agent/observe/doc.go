// SPDX-License-Identifier: Apache-2.0

// Package observe holds the words of headroom: what the kernel said at one
// moment (Snapshot) and what happened between two moments (Window). Samplers
// write snapshots, a Differ turns them into windows, analyzers read windows.
//
// It never does I/O and never reads a clock: time is a field.
package observe
