// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"math"
	"strconv"
	"strings"
)

// A limit holds what arguments and environment set.
type limit struct {
	bytes float64 // 0 if not set
	// ofMemory is a setting that depends on the memory that the process saw, nil if
	// not set.
	ofMemory func(memory float64) float64
	// least is a setting that raises a lower default, 0 if not set.
	least float64
	// hosts is set if the process only considers the memory of the host, inherits if
	// it also finds limits above its own cgroup (v1).
	hosts, inherits bool
	// unclear is set if the limit may be set where headroom cannot see it: in a file,
	// or among arguments that a process title overwrote.
	unclear bool
	// standard is the limit without any setting, nil if the runtime has none.
	standard func(memory float64) float64
	node     bool // standard applies only to the node versions in nodes
}

// A limitsFunc reads the arguments and the environment, NAME=VALUE each.
type limitsFunc func(args, env []string) limit

// limitsOf holds the functions by name of the runtime.
var limitsOf = map[string]limitsFunc{"node": nodeLimit, "jvm": javaLimit, "go": goLimit}

const mib = 1 << 20

func value(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// words splits options as a runtime does, without escapes: no option that matters
// here contains any.
func words(options string) []string {
	return strings.Fields(strings.NewReplacer(`"`, "", "'", "").Replace(options))
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// nodeLimit reads --max-old-space-size, also with underscores, --max-heap-size and
// --max-old-space-size-percentage; arguments win over NODE_OPTIONS, and the last of
// several wins. All were verified with node 18, 20, 22 and 24.
func nodeLimit(args, env []string) limit {
	l := limit{standard: v8OldGeneration, node: true}
	if !strings.HasPrefix(base(args[0]), "node") || strings.Contains(args[0], " ") {
		l.unclear = true // a process title instead of the arguments
		return l
	}
	var f nodeFlags
	for _, w := range words(value(env, "NODE_OPTIONS")) {
		f.read(w)
	}
	own, rest := nodeArguments(args[1:])
	for _, a := range own {
		f.read(a)
	}
	for _, a := range rest { // of the script; or of node, if the value of a flag was taken for the script
		var other nodeFlags
		other.read(a)
		l.unclear = l.unclear || other != nodeFlags{}
	}
	l.bytes = f.old
	if f.share > 0 {
		l.ofMemory = func(memory float64) float64 { return f.share * memory }
	}
	if l.bytes == 0 && f.heap > 0 {
		l.bytes = f.heap
	}
	return l
}

type nodeFlags struct {
	old, heap, share float64
}

func (f *nodeFlags) read(arg string) {
	flag, v, ok := strings.Cut(arg, "=")
	if !ok || !strings.HasPrefix(flag, "--max") {
		return
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return
	}
	switch strings.ReplaceAll(flag, "_", "-") {
	case "--max-old-space-size":
		f.old = n * mib
	case "--max-heap-size":
		f.heap = n * mib
	case "--max-old-space-size-percentage":
		f.share = n / 100
	}
}

// nodeTakes holds options whose value is the next argument.
var nodeTakes = set("-r --require --import --loader --experimental-loader -C --conditions --env-file --env-file-if-exists --title -e --eval -p --print -pe " +
	"--input-type --redirect-warnings --diagnostic-dir --report-dir --report-directory --openssl-config --icu-data-dir --watch-path --unhandled-rejections --dns-result-order")

// nodeArguments separates the arguments of node from the script and its
// arguments.
func nodeArguments(args []string) (own, rest []string) {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--" || !strings.HasPrefix(a, "-"):
			return own, args[i:]
		case nodeTakes[a]:
			i++
		default:
			own = append(own, a)
		}
	}
	return own, nil
}

// v8OldGeneration returns the default limit of the old generation, which V8 derives
// from the memory size that node passes to it (Heap::HeapSizesFromPhysicalMemory
// and MaxOldGenerationSizeFromPhysicalMemory in src/heap/heap.cc): half of it, at
// least 256 MiB and at most 2 GiB, or 4 GiB above 15 GiB. The young generation is
// added: 3 to 48 MiB until V8 12.4 (node 22), to 192 MiB since.
//
// Measured as heap_size_limit in containers, MiB, node 16 to 23 and 24 to 25:
//
//	limit    128..512   600   768  1024  1536  2048  3072  4096  8192  16384
//	16 to 23      259   312   396   524   792  1048  1584  2096  2096   4144
//	24, 25        259   348   432   560   864  1120  1728  2240  2240   4288
func v8OldGeneration(memory float64) float64 {
	most := 2048.0 * mib
	if memory > 15*1024*mib {
		most *= 2
	}
	return min(most, max(256*mib, math.Floor(memory/2)))
}

// goLimit reads GOMEMLIMIT, which is soft: near it the garbage collector works
// harder, and memory can grow beyond it.
func goLimit(_, env []string) limit {
	n, _ := parseGo(value(env, "GOMEMLIMIT"))
	return limit{bytes: n}
}

// parseGo parses a number of bytes with a unit, as runtime/debug.SetMemoryLimit
// documents.
//
//	512MiB
func parseGo(s string) (float64, bool) {
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if number, ok := strings.CutSuffix(s, unit); ok {
			return whole(number, math.Pow(1024, float64(i+1)))
		}
	}
	return whole(strings.TrimSuffix(s, "B"), 1)
}

func whole(number string, unit float64) (float64, bool) {
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || float64(n)*unit >= math.MaxInt64 {
		return 0, false // math.MaxInt64 means no limit
	}
	return float64(n) * unit, true
}

func set(names string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(names) {
		m[w] = true
	}
	return m
}
