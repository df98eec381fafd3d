// SPDX-License-Identifier: Apache-2.0

// Package ledger adds up windows into what exporters show: totals per service
// and container that only grow, and the last level of every gauge.
//
// A sum over processes would fall when one of them exits; a total here keeps
// what the process had used. Processes, threads and sockets come and go, so
// none of them is a series: they are added up into the container, service or
// program that they belong to. How many series a metric may have is bounded
// (Bound); what comes after that is added to one series, named Other, and
// counted.
//
// It stands between agent/run and agent/export. It does no I/O and has no
// clock: its time is that of the windows.
package ledger
