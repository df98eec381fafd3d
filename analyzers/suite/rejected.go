// SPDX-License-Identifier: Apache-2.0

package suite

// A Rejection is an idea that was evaluated, with the reason why it is not
// implemented.
type Rejection struct {
	Idea, Reason string
}

// Rejected lists ideas that look good until they are tried.
var Rejected = []Rejection{
	{"load average", "counts tasks that wait for disks, smooths over a minute or more and knows no cores; PSI and run-queue delays say what it hints at"},
	{"iowait as CPU use", "is idle time of a CPU whose last task waits for a disk: it falls when other work fills the CPU and says nothing about the disk"},
	{"CPU use of 90 % as a finding", "a host that is busy while no task waits is well used; waiting is the problem"},
	{"share of throttled periods above 25 % (kubernetes-mixin)", "its own runbook calls it informative: 40 % of the periods can delay no request, and 5 % every request"},
	{"p99 of tick lengths", "one tick of a second among a thousand of a millisecond is 0.1 % of the ticks and half of the time: what an arrival meets is the tail of Σ max(0, q − x) / T"},
	{"event loop utilisation above 0.9 or delay above a second (load shedders)", "too late to advise, and blind to why: a 700 ms stall a second on the CPU, off it, or in a quota reads the same"},
	{"max/mean above 1.25 or Jain's index below 0.95 as imbalance", "under perfectly fair accepts they fire in 31 to 99 % and 24 to 35 % of windows with 20 connections per worker; a χ² test keeps its 1 %"},
	{"a thread at 100 % as a finding", "batch work, spinning pollers and compilers do that in health: there must be idle cores and work that waits"},
	{"voluntary against involuntary switches as a sign of waiting", "involuntary ones count slices that ended, also where no other task was late by it; the delay itself is measured"},
	{"a process's CPU above its fair share as the noisy neighbour", "a share does not show a victim: headroom records which tasks ran while others waited"},
	{"steal as a reason for more nodes of the same kind", "they are stolen from as much"},
	{"doubling a CPU limit step by step", "a person sets it once: the demand in the throttled periods is measured"},
	{"⌈CPUs⌉ workers as an alarm on every pool that differs", "idle workers cost memory only, and 2n+1 is what gunicorn advises for workers that block"},
	{"Mann–Kendall on memory", "alarms on 92 % of 141 healthy production pods"},
	{"host memory growth as a leak", "recall 0.12 at any sane alarm rate on 109 production machines: batch churn hides it"},
	{"extrapolating USL beyond 1.5 times the load that was seen", "20 to 77 % wrong, and a knee that is not there"},
}
