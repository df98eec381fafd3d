// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"math"
	"strconv"
	"strings"
)

// A limit is what arguments and environment say.
type limit struct {
	bytes float64 // 0: not set
	// ofMemory is a setting that depends on the memory that the process saw,
	// nil: not set.
	ofMemory func(memory float64) float64
	// least is a setting that raises a lower default, 0: not set.
	least float64
	// hosts says that the process looks at the memory of the host alone,
	// inherits that it finds limits above its own cgroup (v1).
	hosts, inherits bool
	// unclear says that a ceiling can be set where it is not seen: in a file, or
	// among arguments that were overwritten by a title.
	unclear bool
	// standard is the ceiling without any setting, nil when the runtime has none.
	standard func(memory float64) float64
	node     bool // standard holds for the versions that nodes knows
}

// A limitsFunc reads the arguments and the environment, NAME=VALUE each.
type limitsFunc func(args, env []string) limit

// limitsOf is by the runtime's name.
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

// words splits options as a runtime splits them, but for escapes: no option
// that matters here holds any.
func words(options string) []string {
	return strings.Fields(strings.NewReplacer(`"`, "", "'", "").Replace(options))
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// nodeLimit knows --max-old-space-size, also with underscores, --max-heap-size
// and --max-old-space-size-percentage; arguments win over NODE_OPTIONS, and the
// last of several wins. All were tried with node 18, 20, 22 and 24.
func nodeLimit(args, env []string) limit {
	l := limit{standard: v8OldGeneration, node: true}
	if !strings.HasPrefix(base(args[0]), "node") || strings.Contains(args[0], " ") {
		l.unclear = true // a title in place of the arguments
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
	for _, a := range rest { // the script's, or a flag's value was taken for the script
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

// nodeTakes are options whose value is the next argument.
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

// v8OldGeneration is the old generation's default ceiling, which V8 derives from
// the memory that node tells it of (Heap::HeapSizesFromPhysicalMemory and
// MaxOldGenerationSizeFromPhysicalMemory in src/heap/heap.cc): half of it, 256 MiB
// at the least, 2 GiB at the most, and 4 GiB from more than 15 GiB on. The young
// generation comes on top: 3 to 48 MiB until V8 12.4 (node 22), to 192 MiB since.
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

// goLimit knows GOMEMLIMIT, which is soft: the collector works harder near it,
// and memory grows beyond it if it must.
func goLimit(_, env []string) limit {
	n, _ := parseGo(value(env, "GOMEMLIMIT"))
	return limit{bytes: n}
}

// parseGo reads a number of bytes with a unit of runtime/debug.SetMemoryLimit.
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
		return 0, false // math.MaxInt64 means none
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
