// SPDX-License-Identifier: Apache-2.0

// Package faults lists the faults of the reference shop: each is a harmful setting,
// or a limit that is too low. Package host applies them.
//
// The sources of the shop contain no faults, only settings, like any service. A fault
// therefore cannot be recognized by the program or its command line.
package faults

// A Fault can be switched on and off while the shop runs.
type Fault struct {
	Name  string
	Row   int    // its category: one of the nine rows of the table in README.md
	Unit  Unit   // of its level
	Level string // the default
	Does  string // what goes wrong, with {level}
	Watch string // the shop's own indicator that changes
	// Names is the expected finding, as id/cause.
	Names string

	// Settings are fields of the shop's settings; {level} is replaced.
	Settings map[string]string
	// Limit is a container's limit that the level replaces.
	Limit Limit
	// Redeploy is set if the effects remain until the processes end: switching the
	// fault off replaces the API's processes, as a deploy would.
	Redeploy bool
}

// A Limit identifies the limit that a fault changes, of a container or of all replicas
// of a service.
type Limit struct{ Container, Resource string }

// Resources that a Limit can name.
const (
	CPU    = "cpu"
	Memory = "memory"
	NoCPU  = "cpu, none"   // independent of the level
	Weight = "cpu, weight" // eight times that of others, independent of the level
)

// All lists all faults by category.
var All = []Fault{
	{
		Name: "sync-crypto", Row: 1, Unit: Milliseconds, Level: "200ms",
		Does:     "passwords are hashed on the event loop, {level} each",
		Watch:    "p99 of every route",
		Names:    "event-loop-blocked/on-cpu",
		Settings: map[string]string{"login.hash": "inline", "login.hash_ms": "{level}"},
	},
	{
		Name: "catastrophic-regex", Row: 1, Unit: Count, Level: "26",
		Does:     "a search of up to {level} characters is checked with nested quantifiers",
		Watch:    "p99 of every route",
		Names:    "event-loop-blocked/on-cpu",
		Settings: map[string]string{"search.matcher": "nested", "search.max_length": "{level}"},
	},
	{
		Name: "big-json", Row: 1, Unit: Bytes, Level: "25MB",
		Does:     "the price list is {level} of JSON, parsed for each request",
		Watch:    "p99 of every route",
		Names:    "event-loop-blocked/on-cpu",
		Settings: map[string]string{"catalog.bytes": "{level}"},
	},
	{
		Name: "sync-read", Row: 1, Unit: Bytes, Level: "150MB",
		Does:     "the terms, a file of {level}, are read with readFileSync for each request",
		Watch:    "p99 of every route",
		Names:    "event-loop-blocked/on-cpu",
		Settings: map[string]string{"terms.read": "each", "terms.bytes": "{level}"},
	},
	{
		Name: "sync-child", Row: 1, Unit: Bytes, Level: "60MB",
		Does:     "a label's image of {level} is digested by a child process that the event loop waits for",
		Watch:    "p99 of every route",
		Names:    "event-loop-blocked/blocking-call",
		Settings: map[string]string{"label.digest": "command", "label.bytes": "{level}"},
	},
	{
		Name: "blocking-client", Row: 1, Unit: Milliseconds, Level: "100ms",
		Does:     "the asyncio service asks the bank with a blocking client, {level} each time",
		Watch:    "p99 of GET /quotes",
		Names:    "event-loop-blocked/blocking-call",
		Settings: map[string]string{"rates.refresh_ms": "{level}"},
	},
	{
		Name: "short-ticks", Row: 1, Unit: Milliseconds, Level: "18ms",
		Does:     "a page takes {level} of CPU to fill in, 2 ms at a time, and there is one process",
		Watch:    "p99 of every route",
		Names:    "event-loop-saturated/short-ticks",
		Settings: map[string]string{"page.render_ms": "{level}", "page.piece_ms": "2", "api.workers": "1"},
	},
	{
		Name: "noisy-neighbour", Row: 2, Unit: Count, Level: "16",
		Does:     "{level} threads of a batch job compute on the same machine; it has no limit, and asked for eight times the share of the others",
		Watch:    "p50 of POST /login",
		Names:    "run-queue-latency/noisy-neighbour",
		Settings: map[string]string{"reports.threads": "{level}"},
		Limit:    Limit{"reports", Weight},
	},
	{
		Name: "thread-herd", Row: 2, Unit: Count, Level: "16",
		Does:  "one worker renders long invoices in {level} threads",
		Watch: "invoice render time; p99 of every route",
		Names: "run-queue-latency/own-threads",
		Settings: map[string]string{
			"invoice.threads": "{level}", "invoice.prefetch": "{level}", "invoice.pages": "30", "invoice.workers": "1",
		},
		Limit: Limit{"worker", NoCPU},
	},
	{
		Name: "host-full", Row: 3, Unit: Milliseconds, Level: "60ms",
		Does:     "a page takes {level} of CPU to fill in: at 40 requests per second more than two cores have",
		Watch:    "p99 of every route",
		Names:    "host-saturated/cpu",
		Settings: map[string]string{"page.render_ms": "{level}"},
	},
	{
		Name: "disk-writes", Row: 3, Unit: Bytes, Level: "8GB",
		Does:     "reports of {level} a second are written and flushed by eight writers to the disk of the database",
		Watch:    "p99 of POST /orders",
		Names:    "disk-saturated/latency",
		Settings: map[string]string{"reports.write_bytes_s": "{level}", "reports.writers": "8"},
	},
	{
		Name: "too-few-workers", Row: 4, Unit: Count, Level: "1",
		Does:     "{level} worker consumes, and an invoice has 60 pages",
		Watch:    "invoice age and queue length",
		Names:    "queue-backlog/too-few-workers",
		Settings: map[string]string{"invoice.workers": "{level}", "invoice.pages": "60"},
	},
	{
		Name: "slow-archive", Row: 4, Unit: Milliseconds, Level: "2s",
		Does:     "the archive takes {level} to file an invoice",
		Watch:    "invoice age and queue length",
		Names:    "queue-backlog/downstream-saturated",
		Settings: map[string]string{"invoice.archive_ms": "{level}"},
	},
	{
		Name: "prefetch-one", Row: 4, Unit: Count, Level: "1",
		Does:     "a worker takes {level} message at a time, and waits 500 ms for the archive with each",
		Watch:    "invoice age and queue length",
		Names:    "queue-backlog/prefetch",
		Settings: map[string]string{"invoice.prefetch": "{level}", "invoice.archive_ms": "500"},
	},
	{
		Name: "poison-messages", Row: 4, Unit: Count, Level: "0.2",
		Does:     "a share of {level} of the orders cannot be rendered, and is put back for ever",
		Watch:    "invoices requeued; invoice age",
		Names:    "queue-backlog/poison-messages",
		Settings: map[string]string{"orders.incomplete": "{level}", "invoice.retry": "forever"},
	},
	{
		Name: "cpu-quota", Row: 5, Unit: Count, Level: "0.1",
		Does:  "the API's container has {level} cores",
		Watch: "p99 of every route",
		Names: "cpu-throttled/limit-too-low",
		Limit: Limit{"api", CPU},
	},
	{
		Name: "threads-over-quota", Row: 5, Unit: Count, Level: "1",
		Does:     "a label has a photograph that four threads compress at once, and the API's container has {level} core",
		Watch:    "p95 of every route",
		Names:    "cpu-throttled/threads-exceed-quota",
		Settings: map[string]string{"label.photo_bytes": "14000000"},
		Limit:    Limit{"api", CPU},
	},
	{
		Name: "memory-limit", Row: 5, Unit: Bytes, Level: "180MB",
		Does:     "the API's container has {level}, and its processes need 100 MB more each",
		Watch:    "errors of requests",
		Names:    "oom-killed/container-limit",
		Settings: map[string]string{"similar.bytes": "100000000"},
		Limit:    Limit{"api", Memory},
	},
	{
		Name: "hot-process", Row: 6, Unit: Count, Level: "1",
		Does:     "{level} of the two processes takes all requests, and a page takes 18 ms of CPU",
		Watch:    "p99 of every route",
		Names:    "load-imbalance/accept-skew",
		Settings: map[string]string{"api.listening": "{level}", "page.render_ms": "18"},
	},
	{
		Name: "unequal-workers", Row: 6, Unit: Count, Level: "0.05",
		Does:     "one of the two workers has {level} cores, and gets every other invoice; an invoice has 10 pages",
		Watch:    "invoice age",
		Names:    "load-imbalance/unequal-workers",
		Settings: map[string]string{"invoice.pages": "10"},
		Limit:    Limit{"worker-1", CPU},
	},
	{
		Name: "n-plus-one", Row: 7, Unit: Count, Level: "200",
		Does:     "a page of orders takes {level} queries",
		Watch:    "p50 of GET /customers/:id/orders",
		Names:    "n-plus-one/repeated-in-request",
		Settings: map[string]string{"orders.queries": "{level}"},
	},
	{
		Name: "uncached-query", Row: 7, Unit: Count, Level: "0",
		Does:     "answers stay in Redis for {level} s: each request asks the database",
		Watch:    "p50 of GET /popular",
		Names:    "cacheable-reads/repeated-keys",
		Settings: map[string]string{"cache.ttl_s": "{level}"},
	},
	{
		Name: "unbounded-cache", Row: 8, Unit: Bytes, Level: "300kB",
		Does:     "each process keeps {level} for every client and never drops a session",
		Watch:    "process_resident_memory_bytes",
		Names:    "memory-growth/leak-or-unbounded",
		Settings: map[string]string{"sessions.max": "0", "sessions.bytes": "{level}"},
		Redeploy: true,
	},
	{
		Name: "listener-leak", Row: 8, Unit: Bytes, Level: "1MB",
		Does:     "each product page leaves a listener that holds {level}",
		Watch:    "process_resident_memory_bytes",
		Names:    "memory-growth/leak-or-unbounded",
		Settings: map[string]string{"stock.follow": "process", "stock.bytes": "{level}"},
		Redeploy: true,
	},
	{
		Name: "heap-near-limit", Row: 8, Unit: Bytes, Level: "125MB",
		Does:     "a table of {level} lives in a heap whose ceiling is 160 MB, and product pages renew it",
		Watch:    "p99 of every route; nodejs_gc_duration_seconds",
		Names:    "gc-pressure/heap-near-limit",
		Settings: map[string]string{"similar.bytes": "{level}", "similar.refresh": "20000"},
		Redeploy: true,
	},
	{
		Name: "allocation-rate", Row: 8, Unit: Bytes, Level: "40MB",
		Does:     "a product list copies {level} of small objects",
		Watch:    "p99 of every route; nodejs_gc_duration_seconds",
		Names:    "gc-pressure/allocation-rate",
		Settings: map[string]string{"page.copies_bytes": "{level}"},
	},
	{
		Name: "fd-leak", Row: 9, Unit: Count, Level: "20",
		Does:     "each label leaves {level} files open",
		Watch:    "process_open_fds; errors at 1024",
		Names:    "fd-exhaustion/leak",
		Settings: map[string]string{"label.unclosed": "{level}"},
		Redeploy: true,
	},
	{
		Name: "close-wait-leak", Row: 9, Unit: Count, Level: "5",
		Does:     "each quote leaves {level} connections half open",
		Watch:    "process_open_fds; errors at 1024",
		Names:    "close-wait-leak/not-closed",
		Settings: map[string]string{"quote.client": "socket", "quote.connections": "{level}"},
		Redeploy: true,
	},
	{
		Name: "small-backlog", Row: 9, Unit: Count, Level: "1",
		Does:     "the rates service listens with a backlog of {level}, and each quote takes 20 connections",
		Watch:    "p99 of GET /quotes",
		Names:    "accept-queue-overflow/backlog-too-small",
		Settings: map[string]string{"rates.backlog": "{level}", "quote.client": "closing", "quote.connections": "20"},
	},
	{
		Name: "no-keep-alive", Row: 9, Unit: Count, Level: "20",
		Does:     "each quote opens {level} connections to the rates service and closes them",
		Watch:    "p50 of GET /quotes",
		Names:    "port-exhaustion/no-keep-alive",
		Settings: map[string]string{"quote.client": "closing", "quote.connections": "{level}"},
	},
}

// Find returns the fault with that name.
func Find(name string) (Fault, bool) {
	for _, f := range All {
		if f.Name == name {
			return f, true
		}
	}
	return Fault{}, false
}
