// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
)

func TestLimits(t *testing.T) {
	const gib = 1024
	for _, tt := range []struct {
		runtime, args, env string
		want               float64 // MiB as configured in a container of 1 GiB, -1: unknown
	}{
		{"node", "node server.js", "", 0},
		{"node", "node --max-old-space-size=300 server.js", "", 300},
		{"node", "/usr/bin/node --max_old_space_size=300 server.js", "", 300},
		{"node", "node --max-old-space-size=200 --max-old-space-size=250 server.js", "", 250},
		{"node", "node server.js", "NODE_OPTIONS=--enable-source-maps --max-old-space-size=300", 300},
		{"node", "node --max-old-space-size=200 server.js", "NODE_OPTIONS=--max-old-space-size=300", 200},
		{"node", "node --max-heap-size=300 server.js", "", 300},
		{"node", "node --max-old-space-size-percentage=50 server.js", "", 512},
		{"node", "node --max-old-space-size=0 server.js", "", 0},
		{"node", "node -r ./hook --max-old-space-size=300 server.js", "", 300},
		{"node", "node server.js --max-old-space-size=300", "", -1},
		{"node", "npm start", "NODE_OPTIONS=--max-old-space-size=300", -1},
		{"node", "node --max-old-space-size=999999999999999999 server.js", "", 0},
		{"jvm", "java -jar app.jar", "", 0},
		{"jvm", "java -Xms100m -Xmx512m -jar app.jar", "", 512},
		{"jvm", "java -Xmx1g Main", "", 1024},
		{"jvm", "java -XX:MaxHeapSize=524288k Main", "", 512},
		{"jvm", "java -cp a.jar -XX:MaxRAMPercentage=75.0 Main", "", 768},
		{"jvm", "java -XX:MaxRAMPercentage=75.0 -Xmx300m Main", "", 300},
		{"jvm", "java Main", "JAVA_TOOL_OPTIONS=-Xmx200m", 200},
		{"jvm", "java -Xmx300m Main", "JAVA_TOOL_OPTIONS=-Xmx200m", 300},
		{"jvm", "java -Xmx300m Main", "_JAVA_OPTIONS=-Xmx200m", 200},
		{"jvm", "java Main", "JDK_JAVA_OPTIONS=\"-Xmx100m\"", 100},
		{"jvm", "java -Xms2g Main", "", 2048},
		{"jvm", "java -Xms100m Main", "", 0},
		{"jvm", "java -XX:InitialHeapSize=600m -XX:MaxRAMPercentage=50 Main", "", 600},
		{"jvm", "java -XX:MinRAMPercentage=10 -XX:MaxRAMPercentage=50 Main", "", 102.4},
		{"jvm", "java -XX:+AggressiveHeap Main", "", -1},
		{"jvm", "java @options Main", "", -1},
		{"jvm", "java -jar app.jar -Xmx512m", "", -1},
		{"go", "api", "GOMEMLIMIT=512MiB", 512},
		{"go", "api", "GOMEMLIMIT=536870912", 512},
		{"go", "api", "GOMEMLIMIT=536870912B", 512},
		{"go", "api", "GOMEMLIMIT=off", 0},
		{"go", "api", "GOMEMLIMIT=9223372036854775807", 0},
		{"go", "api", "GOMEMLIMIT=99999999999999999999TiB", 0},
	} {
		var env []string
		if tt.env != "" {
			env = []string{"PATH=/bin", tt.env}
		}
		args := strings.Fields(tt.args)
		if strings.HasPrefix(tt.args, "npm") {
			args = []string{tt.args}
		}
		l := limitsOf[tt.runtime](args, env)
		got := l.bytes / mib
		switch {
		case l.unclear:
			got = -1
		case got == 0 && l.ofMemory != nil:
			got = l.ofMemory(gib*mib) / mib
		case got == 0 && l.least > 0 && l.least > l.standard(gib*mib):
			got = l.least / mib
		}
		if got != tt.want {
			t.Errorf("%s with %q = %v MiB, want %v", tt.args, tt.env, got, tt.want)
		}
	}
}

// TestDefaults compares the formulas with the values that node 20 and JDK 17 reported
// in containers, where the young generation is subtracted from heap_size_limit.
func TestDefaults(t *testing.T) {
	for limit, want := range map[float64]float64{128: 256, 512: 256, 600: 300, 768: 384, 1024: 512, 2048: 1024, 4096: 2048, 8192: 2048, 16384: 4096, 24000: 4096} {
		if got := v8OldGeneration(limit*mib) / mib; got != want {
			t.Errorf("node in %v MiB = %v MiB, want %v", limit, got, want)
		}
	}
	for limit, want := range map[float64]float64{64: 32, 128: 64, 192: 96, 256: 126, 384: 126, 512: 128, 768: 192, 1024: 256, 4096: 1024} {
		if got := javaLimit([]string{"java"}, nil).standard(limit*mib) / mib; got != want {
			t.Errorf("JVM in %v MiB = %v MiB, want %v", limit, got, want)
		}
	}
	if got := javaLimit([]string{"java"}, nil).standard(256 << 30); got != 0 {
		t.Errorf("JVM in 256 GiB = %v bytes, want none: it was never measured", got)
	}
}

func TestNodeMajor(t *testing.T) {
	address := "https://nodejs.org/download/release/v20.20.2/node-v20.20.2.tar.gz\x00"
	for _, at := range []int{0, 100, 1<<20 - 60, 1<<20 - 55, 1<<20 - 50, 1<<20 - 40, 3 << 20} {
		file := append(bytes.Repeat([]byte("/node-vx"), at/8), address...)
		if got := nodeMajor(bytes.NewReader(file)); got != 20 {
			t.Errorf("version of the address at %d = %d, want 20", at, got)
		}
	}
	if got := nodeMajor(strings.NewReader("/node-v")); got != 0 {
		t.Errorf("version of a file cut short = %d, want none", got)
	}
}

func TestMemoryPaths(t *testing.T) {
	v1, v2 := memoryPaths("9:memory:/kubepods/a\n1:cpu,cpuacct:/b\n0::/c:d\n")
	if v1 != "/kubepods/a" || v2 != "/c:d" {
		t.Errorf("paths = %q and %q", v1, v2)
	}
}

func FuzzLimits(f *testing.F) {
	f.Add("node\x00--max-old-space-size=300", "NODE_OPTIONS=--max-heap-size=1e300")
	f.Add("java\x00-Xmx\x00-XX:MaxRAMPercentage=NaN", "_JAVA_OPTIONS=-Xmx99999999999999999999t")
	f.Add("", "GOMEMLIMIT=1TiB")
	f.Fuzz(func(t *testing.T, args, env string) {
		for runtime, limits := range limitsOf {
			l := limits(strings.Split(args, "\x00"), strings.Split(env, "\x00"))
			if !(l.bytes >= 0 && l.bytes < 1<<63) {
				t.Errorf("%s of %q, %q = %v bytes", runtime, args, env, l.bytes)
			}
		}
		nodeMajor(strings.NewReader(env))
		_, _ = parseLimit([]byte(env))
		_, _ = memoryPaths(env)
	})
}

// all is an Identity that knows one process and its runtime.
type all struct {
	sampler.Identity
	index   *observe.Index
	runtime string
	pid     int
}

func (a all) Current(pid int) (observe.ID, bool) {
	if pid != a.pid {
		return observe.None, false
	}
	id := a.index.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(pid)})
	a.index.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrRuntime: a.runtime}})
	return id, true
}

// TestRealNode compares the limit that a real node reports with a reading.
func TestRealNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed (lab/packages.txt)")
	}
	for _, tt := range []struct {
		args, env []string
		metric    *observe.Metric
	}{
		{nil, nil, catalog.ProcessHeapLimitDefault},
		{[]string{"--max-old-space-size=300"}, nil, catalog.ProcessHeapLimit},
		{nil, []string{"NODE_OPTIONS=--max-old-space-size=300"}, catalog.ProcessHeapLimit},
	} {
		cmd := exec.Command(node, append(tt.args, "-e", `console.log(require("v8").getHeapStatistics().heap_size_limit); setTimeout(() => {}, 60000)`)...)
		cmd.Env = append(os.Environ(), tt.env...)
		out, err := cmd.StdoutPipe()
		if err != nil || cmd.Start() != nil {
			t.Skip(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		line := make([]byte, 64)
		n, _ := out.Read(line)
		said, err := strconv.ParseFloat(strings.TrimSpace(string(line[:n])), 64)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := readOne(t, "node", cmd.Process.Pid).metric(tt.metric)
		if young := said - got; !ok || young < 3*mib || young > 192*mib {
			t.Errorf("%v %v: %s = %v %v bytes, want heap_size_limit %v less a young generation", tt.args, tt.env, tt.metric.Key(), got, ok, said)
		}
	}
}

// TestRealJava compares the maximum heap size that a real JVM reports with that of the
// parser. Container support is off, so that the host's memory applies.
func TestRealJava(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("java is not installed (lab/packages.txt)")
	}
	memory, err := hostMemory("/proc")
	if err != nil {
		t.Skip(err)
	}
	const tool, jdk, last = "JAVA_TOOL_OPTIONS=-Xmx200m", "JDK_JAVA_OPTIONS=-Xmx300m", "_JAVA_OPTIONS=-Xmx400m"
	for _, tt := range []struct {
		args string
		env  []string
	}{
		{"", nil},
		{"", []string{tool}},
		{"", []string{tool, jdk}},
		{"", []string{jdk, last}},
		{"-Xmx500m", []string{tool}},
		{"-Xmx500m", []string{jdk}},
		{"-Xmx500m", []string{tool, jdk, last}},
		{"-Xmx500m -Xmx600m", nil},
		{"-XX:MaxRAMPercentage=50", []string{tool}},
		{"-XX:MaxRAMPercentage=50", nil},
		{"-Xmx500m", []string{"_JAVA_OPTIONS=-XX:MaxRAMPercentage=10"}},
		{"-Xms1g -XX:MaxRAMPercentage=1", nil},
		{"-XX:MaxRAMPercentage=1", nil},
	} {
		args := append(strings.Fields(tt.args), "-XX:-UseContainerSupport")
		cmd := exec.Command(java, append(args, "-XX:+PrintFlagsFinal", "-version")...)
		cmd.Env = append(os.Environ(), tt.env...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("java %v: %v", args, err)
		}
		l := javaLimit(append([]string{java}, args...), tt.env)
		got := l.bytes
		switch {
		case got == 0 && l.ofMemory != nil:
			got = l.ofMemory(memory)
		case got == 0:
			got = max(l.least, l.standard(memory))
		}
		// The JVM rounds up to the pages of its collector.
		if want := maxHeapSize(t, string(out)); !l.hosts || got > want || got < want-4*mib {
			t.Errorf("java %s with %v = %.1f MiB, it says %.1f", tt.args, tt.env, got/mib, want/mib)
		}
	}
}

// maxHeapSize parses the output of -XX:+PrintFlagsFinal.
//
//	size_t MaxHeapSize    = 268435456    {product} {ergonomic}
func maxHeapSize(t *testing.T, flags string) float64 {
	t.Helper()
	_, rest, _ := strings.Cut(flags, " MaxHeapSize ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		t.Fatalf("no MaxHeapSize in %q", flags)
	}
	n, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestInheritedLimit checks a v1 group without a limit below a group with a limit.
func TestInheritedLimit(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(root+"/pod/api", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/pod/api/memory.stat", []byte("cache 0\nhierarchical_memory_limit 1073741824\ntotal_cache 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := inheritedIn(root, "/pod/api"); got != 1<<30 {
		t.Errorf("inherited limit = %v, want 1 GiB", got)
	}
	if got := inheritedIn(root, "/absent"); !math.IsInf(got, 1) {
		t.Errorf("inherited limit of nothing = %v, want none", got)
	}
}

type reading struct {
	s  *observe.Snapshot
	id observe.ID
}

func (r reading) metric(m *observe.Metric) (float64, bool) { return r.s.Value(m, r.id) }

func readOne(t *testing.T, runtime string, pid int) reading {
	t.Helper()
	x := observe.NewIndex(observe.DefaultLimit)
	identity := all{index: x, runtime: runtime, pid: pid}
	r, err := Sampler.Open(&sampler.Host{Proc: "/proc", Index: x, Identity: identity, Patience: patience.New("/proc")})
	if err != nil {
		t.Skip(err)
	}
	s := observe.NewSnapshot(x)
	for range 2 { // the second reading is cached
		s.Reset()
		if err := r.Read(s); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.Gaps) > 0 {
		t.Skip(s.Gaps)
	}
	id, _ := identity.Current(pid)
	return reading{s, id}
}

// TestOnlyTheNumberLeaves searches for a secret in everything that was written.
func TestOnlyTheNumberLeaves(t *testing.T) {
	const secret = "hunter2"
	cmd := exec.Command("sleep", "60")
	cmd.Args[0] = "node"
	cmd.Env = []string{"PASSWORD=" + secret, "NODE_OPTIONS=--require=" + secret + " --max-old-space-size=300"}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	time.Sleep(50 * time.Millisecond) // until the process is sleep
	r := readOne(t, "node", cmd.Process.Pid)
	if v, ok := r.metric(catalog.ProcessHeapLimit); !ok || v != 300*mib {
		t.Fatalf("limit = %v %v, want 300 MiB", v, ok)
	}
	for _, g := range r.s.Gaps {
		if strings.Contains(g.Reason+g.Cure, secret) {
			t.Errorf("gap %v holds what the environment holds", g)
		}
	}
	if info := r.s.Index.Info(r.id); strings.Contains(strings.Join(values(info.Attrs), " "), secret) {
		t.Errorf("the description %v holds what the environment holds", info)
	}
}

func values(m map[string]string) []string {
	var vs []string
	for _, v := range m {
		vs = append(vs, v)
	}
	return vs
}
