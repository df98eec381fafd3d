// SPDX-License-Identifier: Apache-2.0

// Package ledger adds up windows into the values that exporters publish: totals per
// service and container that only grow, and the latest level of every gauge.
//
// A sum over processes would fall when one of them exits; a total here keeps what
// the process used. Processes, threads and sockets start and end all the time, so
// none of them has a series: they are added to the container, service or program
// that they belong to. The number of series of a metric is limited (Bound); label
// sets beyond the limit are added to one series, named Other, and counted.
//
// The package sits between agent/run and agent/export. It does no I/O and reads no
// clock: its time is the time of the windows.
package ledger
