// SPDX-License-Identifier: Apache-2.0

package requestswaiting

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A reason is what shows that requests wait.
type reason int

const (
	unread reason = iota // the process has not read them
	queued               // more of them than its full thread can run
	stuck                // its threads are blocked in calls that no idle thread is in
	piled                // more arrive than are answered
	long                 // nothing but their time
)

// A view is one process that serves.
type view struct {
	process observe.ID
	seconds float64
	// active is the mean number of requests in flight, last that at the end. oldest is
	// the age of the oldest one at the end.
	active, last, oldest float64
	// unread and unreadFor are the most requests that were unread at a reading, and the
	// highest age of one.
	unread, unreadFor float64
	arrivals          float64
	answers           observe.Hist
	why               reason
}

func look(p *facts.Pass, process observe.ID) *view {
	v := &view{process: process, seconds: p.Seconds, arrivals: p.IncreaseOr0(catalog.RequestArrivals, process)}
	v.last, _ = p.Last(catalog.RequestActive, process)
	v.oldest, _ = p.Last(catalog.RequestOldest, process)
	_, v.unread, _ = p.Range(catalog.RequestUnread, process)
	_, v.unreadFor, _ = p.Range(catalog.RequestUnreadAge, process)
	v.answers, _ = p.Hist(catalog.RequestDuration, process)
	readings := p.Series(catalog.RequestActive, process)
	for _, n := range readings {
		v.active += n / float64(len(readings))
	}
	return v
}

// answered returns the number of answers.
func (v *view) answered() float64 {
	if len(v.answers.Count) == 0 {
		return 0
	}
	n, _ := v.answers.Total()
	return n
}

// median returns the time in which half of the answers began.
func (v *view) median() float64 {
	if v.answered() == 0 {
		return 0
	}
	return v.answers.Quantile(0.5)
}

const slow = 1 // seconds

func (v *view) slowAnswers() float64 {
	if v.answered() == 0 {
		return 0
	}
	n, _ := v.answers.Above(slow)
	return n
}

// waitsByDesign reports whether clients of this program ask it to wait: Redis blocks the
// clients of BLPOP and XREAD, and answers all other commands from memory.
func (v *view) waitsByDesign(p *facts.Pass) bool {
	return p.Attr(v.process, catalog.AttrRuntime) == "redis"
}

const (
	parts = 3
	// even is the least part of the growth in each third of the window: a burst, and the
	// clients that come back after a restart, are in one of them.
	even = 0.2
	// carried is the part of the growth that new connections must carry. The probe does
	// not know the requests of before its start, so that steady long polls seem to grow
	// until the first of them ends.
	carried = 0.5
	// unanswered is the part of the arrivals that must have stayed without an answer.
	unanswered = 0.3
	// nearly is the part of its maximum at which a number is still growing.
	nearly = 0.95
)

// piles reports whether more requests arrive than are answered, in each third of the
// window, on more and more connections.
func (v *view) piles(p *facts.Pass) bool {
	points := p.Points(catalog.RequestActive, v.process)
	const fewest = 2 * parts
	if len(points) < fewest || v.oldest < slow {
		return false
	}
	growth := v.last - points[0].Value
	if growth < p.Param(grown) || growth < unanswered*v.arrivals {
		return false
	}
	for i := range parts {
		from, to := points[i*(len(points)-1)/parts], points[(i+1)*(len(points)-1)/parts]
		if to.Value-from.Value < even*growth {
			return false
		}
	}
	low, high, ok := p.Range(catalog.ProcessAccepted, v.process)
	last, _ := p.Last(catalog.ProcessAccepted, v.process)
	return ok && last >= nearly*high && last-low >= carried*growth
}

const (
	// fewRequests is the number of requests in flight below which each can have what it
	// needs.
	fewRequests = 8
	// sharing is the number of requests for each outgoing connection from which several
	// of them must share it.
	sharing = 2
)

// long reports whether most requests take long, while more of them are in flight than
// the process has connections to others: they can wait for one of these, or for a lock. A
// process without such connections, as a server of long polls can be, has nothing for
// which its requests could wait.
func (v *view) long(p *facts.Pass) bool {
	out, known := v.outgoing(p)
	return known && out > 0 && v.active >= fewRequests && v.active >= sharing*out &&
		v.answered() > 0 && v.median() >= p.Param(usual)
}

// outgoing returns the number of TCP connections that the process opened itself.
func (v *view) outgoing(p *facts.Pass) (n float64, known bool) {
	all, counted := p.Last(catalog.ProcessEstablished, v.process)
	accepted, known := p.Last(catalog.ProcessAccepted, v.process)
	return max(0, all-accepted), counted && known
}

// impact is the share of the window for which the oldest request waited, or the share of
// its time for which a request waits.
func (v *view) impact(busy hot) float64 {
	switch v.why {
	case unread:
		return min(1, v.unreadFor/v.seconds)
	case queued:
		return min(1, busy.wait/v.median())
	case long:
		return 0
	}
	return min(1, max(v.oldest, v.median())/v.seconds)
}

// hot is the thread, or the interpreter, that runs all the time.
type hot struct {
	// thread is observe.None if it is an interpreter that runs one thread at a time.
	thread observe.ID
	cores  float64
	// full is set if it has no time left, and queue if more requests are in flight
	// than it can run.
	full, queue bool
	wait        float64
}

const (
	// fullThread is the use of a thread, in cores, from which it has no time left.
	fullThread = 0.85
	// idleCore is the number of cores that the process could use beside it: without one,
	// host-saturated or a limit of the container is the cause.
	idleCore = 0.3
)

// oneAtATime are the runtimes whose threads take turns.
var oneAtATime = []string{"python", "ruby"}

// hotThread returns what runs all the time while requests wait for it.
func (v *view) hotThread(p *facts.Pass) hot {
	h := hot{thread: observe.None}
	idle, known := p.UsableIdle(v.process)
	if !known || idle < idleCore {
		return h
	}
	all, _ := p.Rate(catalog.ProcessCPU, v.process)
	for thread := range p.Entities(catalog.ThreadCPU) {
		if process, ok := p.Index.Ancestor(thread, observe.Process); !ok || process != v.process || v.runsLoop(p, thread) {
			continue
		}
		if use, _ := p.Rate(catalog.ThreadCPU, thread); use > h.cores {
			h.thread, h.cores = thread, use
		}
	}
	threads, _ := p.Last(catalog.ProcessThreads, v.process)
	if h.cores < fullThread && threads > 1 && slices.Contains(oneAtATime, p.Attr(v.process, catalog.AttrRuntime)) && !v.busyLoop(p) {
		h.thread, h.cores = observe.None, all
	}
	h.full = h.cores >= fullThread
	if all > 0 {
		h.wait = v.median() * max(0, 1-all/v.active)
	}
	h.queue = h.full && v.active >= p.Param(stretch)*max(all, h.cores) && h.wait >= p.Param(leastWait)
	return h
}

// runsLoop reports whether a thread runs an event loop: other analyzers are about these.
func (v *view) runsLoop(p *facts.Pass, thread observe.ID) bool {
	tid := p.Attr(thread, catalog.AttrTID)
	return slices.ContainsFunc(p.Loops(), func(l *facts.LoopView) bool {
		return l.Process == v.process && p.Attr(l.ID, catalog.AttrTID) == tid
	})
}

// busyLoop reports whether an event loop does the work of the process.
func (v *view) busyLoop(p *facts.Pass) bool {
	return slices.ContainsFunc(p.Loops(), func(l *facts.LoopView) bool {
		return l.Process == v.process && l.Long.CPU+p.IncreaseOr0(catalog.LoopCPU, l.ID) >= fullThread*v.seconds
	})
}

// blocked is what threads of the process are blocked in while requests wait.
type blocked struct {
	facts.BlockedBy
	// threads is their mean number.
	threads float64
	// certain is set for calls in which no idle thread is: it waits for a name, a disk or
	// the reader of a pipe.
	certain bool
}

const (
	// enough is the mean number of threads from which a call is named.
	enough = 0.5
	dns    = "53"
)

func (v *view) blockedOn(p *facts.Pass) blocked {
	var most blocked
	readings := p.IncreaseOr0(catalog.RequestReadings, v.process)
	if readings == 0 {
		return most
	}
	for _, c := range p.Peers(catalog.RequestThreads, v.process) {
		b := blocked{threads: c.Value / readings, BlockedBy: facts.BlockedBy{
			Syscall: p.Attr(c.ID, catalog.AttrCall), Kind: p.Attr(c.ID, catalog.AttrTarget), On: c.ID, Seconds: c.Value}}
		b.certain = b.Kind == catalog.TargetFile || b.Kind == catalog.TargetPipe || p.Attr(c.ID, catalog.AttrDestPort) == dns
		if b.threads >= enough && (b.certain && !most.certain || b.certain == most.certain && b.threads > most.threads) {
			most = b
		}
	}
	return most
}

// The analyzers that can explain that requests wait.
const (
	loopBlocked   = "event-loop-blocked"
	loopSaturated = "event-loop-saturated"
	throttled     = "cpu-throttled"
	runQueue      = "run-queue-latency"
	hostFull      = "host-saturated"
	oneThread     = "single-thread-bound"
	diskFull      = "disk-saturated"
	memoryLimit   = "memory-limit-pressure"
	poolExhausted = "pool-exhausted"
	queueBacklog  = "queue-backlog"
	slowUpstream  = "slow-upstream"
	nPlusOne      = "n-plus-one"
	threadPool    = "thread-pool-exhausted"
	oneLock       = "lock-contention"
)

// explain sets the time, in seconds, that each of these analyzers can explain: a request
// waits while the loop that must read it does something else, while the threads have no
// CPU, and so on. An unread request waits for its age, others for the whole window.
func (v *view) explain(p *facts.Pass, f *analysis.Finding) {
	f.LostTotal = v.seconds
	if v.why == unread {
		f.LostTotal = min(v.seconds, v.unreadFor)
	}
	inLoop := 0.0
	for _, l := range p.Loops() {
		if l.Process == v.process {
			inLoop = max(inLoop, l.Busy*v.seconds)
		}
	}
	waited := p.IncreaseOr0(catalog.ProcessRunQueue, v.process)
	f.Lost = map[string]float64{
		loopBlocked: inLoop, loopSaturated: inLoop,
		throttled: p.MostOfCgroups(catalog.CgroupThrottledS, v.process), runQueue: waited, hostFull: waited,
		diskFull: v.onDisk(p), memoryLimit: p.MostOfCgroups(catalog.CgroupMemorySome, v.process),
	}
	if v.why == queued || v.why == unread {
		f.Lost[oneThread] = v.hotThread(p).cores * v.seconds
	}
	for _, c := range p.ClientPools() {
		if c.Process == v.process && c.Exhausted() {
			f.Lost[poolExhausted] = f.LostTotal * c.Waiting() / c.Active
		}
	}
	if own, upstream := v.inSyncPool(p); own || upstream {
		f.Lost[queueBacklog], f.Filled = f.LostTotal, upstream
	}
	for _, c := range p.ClientCalls() {
		if c.Process == v.process && c.Dominate() {
			f.Lost[slowUpstream] = f.LostTotal * c.Share()
		}
	}
	if r, ok := p.RepeatOf(v.process); ok && r.Request > 0 {
		f.Lost[nPlusOne] = f.LostTotal * r.Won() / r.Request
	}
	v.explainThreads(p, f)
	for name, lost := range f.Lost {
		f.Lost[name] = min(lost, f.LostTotal)
	}
	f.Without = f.Unexplained
}

// inSyncPool reports whether the process is a worker of a pool of synchronous workers whose
// connections wait to be accepted, or a proxy most of whose requests wait there.
func (v *view) inSyncPool(p *facts.Pass) (own, upstream bool) {
	for _, s := range p.SyncPools() {
		if !s.Full {
			continue
		}
		if slices.Contains(s.Workers, v.process) {
			return true, false
		}
		queue, _ := p.Last(catalog.ListenerQueue, s.Listener)
		out, known := v.outgoing(p)
		if known && p.Attr(v.process, catalog.AttrRuntime) == "nginx" && min(queue, out) >= analysis.ExplainShare*v.last {
			upstream = true
		}
	}
	return false, upstream
}

// explainThreads sets the time that requests wait for a thread of a pool, or for a lock.
func (v *view) explainThreads(p *facts.Pass, f *analysis.Finding) {
	for _, t := range p.ThreadPools() {
		if t.Process == v.process && t.Exhausted() && t.Requests > 0 {
			f.Lost[threadPool] = f.LostTotal * t.Delayed() / t.Requests
		}
	}
	for _, l := range p.Locks() {
		switch {
		case l.Process != v.process || !l.Contended():
		case l.Kind == catalog.LockInterpreter && v.why == queued:
			f.Lost[oneLock] = f.LostTotal // it is the same wait, seen at the threads
		case l.Requests > 0:
			f.Lost[oneLock] = f.LostTotal * l.Delayed(v.seconds) / l.Requests
		}
	}
}

// onDisk returns the seconds in which a thread of the process waited for a disk.
func (v *view) onDisk(p *facts.Pass) float64 {
	readings := p.Series(catalog.ProcessDiskWaiting, v.process)
	waited := 0.0
	for _, n := range readings {
		if n > 0 {
			waited += v.seconds / float64(len(readings))
		}
	}
	return waited
}
