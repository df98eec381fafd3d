// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"math"
	"strconv"
	"strings"
)

// javaLimit knows -Xmx, -XX:MaxHeapSize and -XX:MaxRAMPercentage. The JVM reads
// JAVA_TOOL_OPTIONS, then JDK_JAVA_OPTIONS, the arguments, and _JAVA_OPTIONS; the
// last wins, and a size wins over a percentage.
func javaLimit(args, env []string) limit {
	l := limit{standard: jvmHeap}
	var f javaFlags
	f.readAll(words(value(env, "JAVA_TOOL_OPTIONS")))
	f.readAll(words(value(env, "JDK_JAVA_OPTIONS")))
	own, rest := javaArguments(args[1:])
	f.readAll(own)
	f.readAll(words(value(env, "_JAVA_OPTIONS")))
	for _, a := range rest { // the program's, or an option's value was taken for its name
		var other javaFlags
		other.read(a)
		f.unclear = f.unclear || other != javaFlags{}
	}
	l.bytes, l.unclear = f.size, f.unclear
	if f.share > 0 {
		l.ofMemory = func(memory float64) float64 { return jvmShare(memory, f.share) }
	}
	return l
}

type javaFlags struct {
	size, share float64
	unclear     bool
}

func (f *javaFlags) readAll(args []string) {
	for _, a := range args {
		f.read(a)
	}
}

func (f *javaFlags) read(a string) {
	for _, prefix := range []string{"@", "-XX:Flags=", "-XX:VMOptionsFile=", "-XX:MaxRAM=", "-XX:MaxRAMFraction="} {
		if strings.HasPrefix(a, prefix) {
			f.unclear = true // in a file, or a setting that nobody verified here
			return
		}
	}
	if v, ok := strings.CutPrefix(a, "-XX:MaxRAMPercentage="); ok {
		if n, err := strconv.ParseFloat(v, 64); err == nil && n > 0 && n <= 100 {
			f.share = n / 100
		}
		return
	}
	for _, prefix := range []string{"-Xmx", "-XX:MaxHeapSize="} {
		if v, ok := strings.CutPrefix(a, prefix); ok {
			if n, ok := parseJava(v); ok {
				f.size = n
			}
		}
	}
}

// parseJava reads a size.
//
//	512m
func parseJava(s string) (float64, bool) {
	if s == "" {
		return 0, false
	}
	unit := 1.0
	if i := strings.IndexByte("kmgt", s[len(s)-1]|0x20); i >= 0 {
		unit, s = math.Pow(1024, float64(i+1)), s[:len(s)-1]
	}
	return whole(s, unit)
}

// javaTakes are options whose value is the next argument.
var javaTakes = set("-cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules --add-exports --add-opens --add-reads " +
	"--limit-modules --patch-module --source --describe-module -d --enable-native-access")

// javaArguments tells the JVM's own arguments from the program and its.
func javaArguments(args []string) (own, rest []string) {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-jar" || a == "-m" || a == "--module":
			return own, args[i+1:]
		case javaTakes[a]:
			i++
		case strings.HasPrefix(a, "-") || strings.HasPrefix(a, "@"):
			own = append(own, a)
		default:
			return own, args[i:]
		}
	}
	return own, nil
}

// leastJVM is MaxHeapSize as it is built in, on 64 bits.
const leastJVM = 126 * mib

// jvmHeap is the default: a quarter of memory, but half of it when that is less
// than what is built in (Arguments::set_heap_size, src/hotspot/share/runtime/
// arguments.cpp, since JDK 10). Measured with JDK 17 in containers, MiB:
//
//	limit  64  96  128  192  256  384  512  768  1024  2048  4096
//	heap   32  48   64   96  126  126  128  192   256   512  1024
func jvmHeap(memory float64) float64 { return jvmShare(memory, 0.25) }

func jvmShare(memory, share float64) float64 {
	if memory/2 < leastJVM {
		return memory / 2
	}
	return max(leastJVM, share*memory)
}
