// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"math"
	"strconv"
	"strings"
)

// javaLimit knows -Xmx, -Xms, -XX:MaxRAMPercentage and their relatives. The JVM
// reads JAVA_TOOL_OPTIONS, then JDK_JAVA_OPTIONS, the arguments, and _JAVA_OPTIONS;
// the last of a kind wins, and a size wins over a percentage. All of this was
// verified with JDK 17 and 25 (TestRealJava).
func javaLimit(args, env []string) limit {
	var f javaFlags
	f.readAll(words(value(env, "JAVA_TOOL_OPTIONS")))
	f.readAll(words(value(env, "JDK_JAVA_OPTIONS")))
	own, rest := javaArguments(args[1:])
	f.readAll(own)
	f.readAll(words(value(env, "_JAVA_OPTIONS")))
	for _, a := range rest { // of the program; or of the JVM, if the value of an option was taken for the program
		var other javaFlags
		other.read(a)
		f.unclear = f.unclear || other != javaFlags{}
	}
	return f.limit()
}

// javaFlags holds the options that set the largest heap, as sizes and as shares of
// memory; 0 means not set.
type javaFlags struct {
	size, initial, share, small float64
	hosts                       bool // limits of containers are ignored
	unclear                     bool
}

func (f *javaFlags) limit() limit {
	small := f.small
	if small == 0 {
		small = smallShare
	}
	l := limit{bytes: f.size, least: f.initial, hosts: f.hosts, inherits: true, unclear: f.unclear}
	l.standard = func(memory float64) float64 {
		if memory > mostMemory {
			return 0
		}
		return jvmShare(memory, largeShare, small)
	}
	if f.share > 0 {
		l.ofMemory = func(memory float64) float64 { return max(f.initial, jvmShare(memory, f.share, small)) }
	}
	return l
}

func (f *javaFlags) readAll(args []string) {
	for _, a := range args {
		f.read(a)
	}
}

// javaElsewhere holds options that set a limit in a file, or in a way that is not
// supported here.
var javaElsewhere = []string{"@", "-XX:Flags=", "-XX:VMOptionsFile=", "-XX:MaxRAM=", "-XX:MaxRAMFraction=", "-XX:MinRAMFraction=", "-XX:+AggressiveHeap"}

func (f *javaFlags) read(a string) {
	for _, prefix := range javaElsewhere {
		if strings.HasPrefix(a, prefix) {
			f.unclear = true
			return
		}
	}
	switch a {
	case "-XX:-UseContainerSupport":
		f.hosts = true
		return
	case "-XX:+UseContainerSupport":
		f.hosts = false
		return
	}
	readPrefixed(a, parsePercent, map[string]*float64{"-XX:MaxRAMPercentage=": &f.share, "-XX:MinRAMPercentage=": &f.small})
	readPrefixed(a, parseJava, map[string]*float64{"-Xmx": &f.size, "-XX:MaxHeapSize=": &f.size, "-Xms": &f.initial, "-XX:InitialHeapSize=": &f.initial})
}

// readPrefixed sets the value of the option that a starts with.
func readPrefixed(a string, parse func(string) (float64, bool), to map[string]*float64) {
	for prefix, at := range to {
		if v, ok := strings.CutPrefix(a, prefix); ok {
			if n, ok := parse(v); ok {
				*at = n
			}
		}
	}
}

func parsePercent(s string) (float64, bool) {
	n, err := strconv.ParseFloat(s, 64)
	return n / 100, err == nil && n > 0 && n <= 100
}

// parseJava parses a size.
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

// javaTakes holds options whose value is the next argument.
var javaTakes = set("-cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules --add-exports --add-opens --add-reads " +
	"--limit-modules --patch-module --source --describe-module -d --enable-native-access")

// javaArguments separates the arguments of the JVM from the program and its
// arguments.
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

const (
	// leastJVM is the built-in MaxHeapSize on 64 bits.
	leastJVM = 126 * mib
	// largeShare and smallShare are MaxRAMPercentage and MinRAMPercentage.
	largeShare, smallShare = 0.25, 0.5
	// mostMemory is the memory size from which a quarter exceeds what compressed
	// pointers can address: from there on the default is lower; this was not measured.
	mostMemory = 120 * 1024 * mib
)

// jvmShare returns the limit by default and by percentage: a share of memory, or
// the share for small memories if that is less than the built-in size
// (Arguments::set_heap_size, src/hotspot/share/runtime/arguments.cpp, since JDK
// 10). Measured by default with JDK 17 and 25 in containers, MiB:
//
//	limit  64  96  128  192  256  384  512  768  1024  2048  4096  8192
//	heap   32  48   64   96  126  126  128  192   256   512  1024  2048
func jvmShare(memory, share, small float64) float64 {
	if small*memory < leastJVM {
		return small * memory
	}
	return max(leastJVM, share*memory)
}
