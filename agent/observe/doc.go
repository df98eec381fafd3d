// SPDX-License-Identifier: Apache-2.0

// Package observe has the basic types of headroom: the values from the kernel at one time
// (Snapshot) and the changes between two times (Window). Samplers write snapshots, a
// Differ turns them into windows, analyzers read windows.
//
// It never does I/O and never reads a clock: time is a field.
package observe
