// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const (
	// stormRate is how many processes start and exit per second.
	stormRate = 1000
	// stormPids is the number of pids that they share: each is reused within half a
	// second.
	stormPids = 500
	// slowestStorm is the minimum rate, on a busy machine.
	slowestStorm = stormRate / 10
)

// forkStorm starts many short processes that reuse each other's pids. The pids of
// some longer ones are reused by other processes, which must not inherit the metrics
// of the previous owner. The agent's memory must not grow. HEADROOM_STORM sets a
// longer duration.
func forkStorm(t *testing.T, l *lab) {
	p := newPids(t)
	config := filepath.Join(l.dir, "storm.yml")
	outside.Must(t, os.WriteFile(config, []byte(agentConfig), 0o644))
	server := l.node(t, nil)
	a := l.startAgent(t, config)
	before := a.usage(t)
	s := p.storm(t)
	fault := httpLoad(t, server.url("/burn?ms=1500"), 0.5)
	burners := p.burners(t, l, 5)
	outside.Eventually(t, pendingLimit, "the server is found", func() bool { return a.find(t, server) != nil })
	fault.Stop()
	s.last(t)
	outside.Eventually(t, pendingLimit, "the burners are read often", func() bool { return burners.used(t) > enoughBurnt })
	heirs := burners.inherit(t)
	heirs = append(heirs, p.take(t, server, burners.heir))
	time.Sleep(5 * time.Second) // inherited metrics would appear in the next readings
	rate := s.stop(t)
	t.Logf("%.0f processes/s, %d pids were used %.0f times each", rate, stormPids, float64(s.born.Load())/stormPids)
	after := a.usage(t)
	after.stayed(t, before, a)
	a.inheritsNothing(t, burners, heirs)
}

// A pidTable chooses the pids of new processes. The kernel uses the next free pid
// after ns_last_pid, which can be written.
type pidTable struct {
	mu    sync.Mutex
	last  *os.File
	first int // first pid of the storm
	dir   string
}

func newPids(t *testing.T) *pidTable {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/pid_max")
	outside.Must(t, err)
	highest, err := strconv.Atoi(strings.TrimSpace(string(text)))
	outside.Must(t, err)
	last, err := os.OpenFile("/proc/sys/kernel/ns_last_pid", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("pids cannot be chosen here: %v", err)
	}
	t.Cleanup(func() { last.Close() })
	return &pidTable{last: last, first: highest - 4*stormPids, dir: t.TempDir()}
}

// start starts a command with the first free pid from want on.
func (p *pidTable) start(want int, cmd *exec.Cmd) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.last.WriteAt([]byte(strconv.Itoa(want-1)), 0); err != nil {
		return err
	}
	return cmd.Start()
}

// program copies a program under another name.
func (p *pidTable) program(t *testing.T, from, name string) string {
	t.Helper()
	text, err := os.ReadFile(from)
	outside.Must(t, err)
	path := filepath.Join(p.dir, name)
	outside.Must(t, os.WriteFile(path, text, 0o755))
	return path
}

type storm struct {
	born  atomic.Int64
	began time.Time
	end   chan struct{}
	all   sync.WaitGroup
	err   atomic.Pointer[error]
}

func (p *pidTable) storm(t *testing.T) *storm {
	t.Helper()
	s := &storm{began: time.Now(), end: make(chan struct{})}
	const workers = 4
	for worker := range workers {
		s.all.Go(func() {
			tick := time.NewTicker(time.Second * workers / stormRate)
			defer tick.Stop()
			for i := worker; ; i += workers {
				select {
				case <-s.end:
					return
				case <-tick.C:
				}
				cmd := exec.Command("/bin/true")
				if err := p.start(p.first+i%stormPids, cmd); err != nil {
					s.err.Store(&err)
					return
				}
				_ = cmd.Wait()
				s.born.Add(1)
			}
		})
	}
	t.Cleanup(func() { s.stop(t) })
	return s
}

// last waits for the rest of the duration in HEADROOM_STORM.
func (s *storm) last(t *testing.T) {
	t.Helper()
	text := os.Getenv("HEADROOM_STORM")
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	outside.Must(t, err)
	time.Sleep(d - time.Since(s.began))
}

// stop ends the storm and returns how many processes started per second.
func (s *storm) stop(t *testing.T) float64 {
	select {
	case <-s.end:
		return 0
	default:
	}
	rate := float64(s.born.Load()) / time.Since(s.began).Seconds()
	close(s.end)
	s.all.Wait()
	if err := s.err.Load(); err != nil {
		t.Errorf("the storm ended: %v", *err)
	}
	if rate < slowestStorm {
		t.Errorf("the scenario does not hold: %.0f processes/s, want %d", rate, stormRate)
	}
	return rate
}

// burners are busy processes that wait for each other. Each has an heir, which later
// gets its pid.
type burners struct {
	pids *pidTable
	all  []*process
	cpu  float64 // CPU time that they used
	heir string  // program of the heirs
}

const (
	burnerName = "lab-burner"
	heirName   = "lab-heir"
	// enoughBurnt is the CPU time of all burners, in seconds, of which the agent must see
	// half: what they use before their first reading and after their last is not seen,
	// one to two seconds of the one to two cores that they get.
	enoughBurnt = 8
)

// used returns the CPU time that the burners have used.
func (b *burners) used(t *testing.T) (seconds float64) {
	t.Helper()
	for _, p := range b.all {
		seconds += cpuSeconds(t, p.pid)
	}
	return seconds
}

func (p *pidTable) burners(t *testing.T, l *lab, n int) *burners {
	t.Helper()
	b := &burners{pids: p, heir: p.program(t, "/bin/sleep", heirName)}
	program := p.program(t, "/bin/sh", burnerName)
	for range n {
		b.all = append(b.all, start(t, exec.Command(program, "-c", "while :; do :; done")))
	}
	return b
}

// inherit ends the burners and starts idle processes with their pids.
func (b *burners) inherit(t *testing.T) []*process {
	t.Helper()
	var heirs []*process
	b.cpu = b.used(t)
	for _, p := range b.all {
		heirs = append(heirs, b.pids.take(t, p, b.heir))
	}
	return heirs
}

// take ends a process and starts the heir with its pid.
func (p *pidTable) take(t *testing.T, from *process, heir string) *process {
	t.Helper()
	from.end()
	for range 20 {
		cmd := exec.Command(heir, "600")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		outside.Must(t, p.start(from.pid, cmd))
		end := sync.OnceFunc(func() { cmd.Process.Kill(); cmd.Wait() })
		if cmd.Process.Pid == from.pid {
			t.Cleanup(end)
			return &process{pid: from.pid, end: end}
		}
		end() // another process got the pid
	}
	t.Fatalf("no process got pid %d again", from.pid)
	return nil
}

// A usage is the agent's resource usage, and the data that it lost.
type usage struct {
	at                                time.Time
	cpu, rss, entities                float64
	refused, failures, late, standing float64
}

func (a *watch) usage(t *testing.T) usage {
	t.Helper()
	m := a.metrics(t)
	return usage{at: time.Now(), cpu: cpuSeconds(t, a.cmd.Process.Pid), rss: sum(m["process_resident_memory_bytes"]), entities: sum(m["headroom_index_entities"]),
		refused: sum(m["headroom_index_refused_total"]), failures: sum(m["headroom_sampler_failures_total"]),
		late: sum(m["headroom_sampler_late_total"]), standing: sum(m["headroom_standstills_total"])}
}

const (
	// mostGrowth is the maximum growth of memory during a storm: for its windows, and
	// for processes that are kept for a while after they ended.
	mostGrowth = 32 << 20
	// mostFollowed is the maximum number of entities, including a few processes of the
	// storm for each reading.
	mostFollowed = 20_000
	// mostPairs is the number of pairs above which others are reported together
	// (docs/prometheus.md), as on a host with much other load.
	mostPairs = 500
)

func (u usage) stayed(t *testing.T, before usage, a *watch) {
	t.Helper()
	share := (u.cpu - before.cpu) / u.at.Sub(before.at).Seconds()
	t.Logf("the agent: %.1f%% of a core, RSS %.1f to %.1f MiB, %.0f entities", 100*share, before.rss/(1<<20), u.rss/(1<<20), u.entities)
	if share > 0.3 {
		t.Errorf("the agent took %.2f cores", share)
	}
	if u.rss-before.rss > mostGrowth {
		t.Errorf("the agent grew from %.1f to %.1f MiB", before.rss/(1<<20), u.rss/(1<<20))
	}
	if u.entities > mostFollowed {
		t.Errorf("the agent keeps %.0f entities", u.entities)
	}
	if lost := u.refused + u.failures + u.standing; lost > 0 {
		t.Errorf("lost: %+v", u)
	}
}

// inheritsNothing checks that the metrics of an heir do not include those of the
// previous owner of its pid.
func (a *watch) inheritsNothing(t *testing.T, b *burners, heirs []*process) {
	t.Helper()
	m := a.metrics(t)
	const cpu, delay, blame = "process_cpu_time_seconds_total", "headroom_process_run_queue_delay_seconds", "headroom_process_waited_for_time_seconds_total"
	if got := sum(m[cpu], "headroom_program", burnerName); got < 0.5*b.cpu || got > 1.2*b.cpu {
		t.Errorf("%s used %.2f s of CPU, the agent reports %.2f", burnerName, b.cpu, got)
	}
	if told := sum(m[blame], "headroom_culprit", burnerName); told == 0 && len(m[blame].GetMetric()) < mostPairs {
		t.Errorf("the scenario does not hold: no process waited for %s", burnerName)
	}
	// The start of an heir takes a few milliseconds of CPU time.
	for what, got := range map[string]float64{
		"used a CPU":          sum(m[cpu], "headroom_program", heirName),
		"waited for a CPU":    sum(m[delay], "headroom_program", heirName),
		"kept others from it": sum(m[blame], "headroom_culprit", heirName),
	} {
		if got > 0.5 {
			t.Errorf("%s: the agent reports that it %s for %.2f s, which %s did", heirName, what, got, burnerName)
		}
	}
	_, text := a.get("/api/v1/findings")
	r, err := parseReport([]byte(text))
	outside.Must(t, err)
	for i := range r.Findings {
		for _, h := range heirs {
			if f := &r.Findings[i]; f.Subject.PID == h.pid && strings.Contains(f.Subject.Name, heirName) {
				t.Errorf("an heir inherited a finding: %s", f)
			}
		}
	}
}

// metrics returns the agent's Prometheus metrics by name.
func (a *watch) metrics(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	code, text := a.get("/metrics")
	if code != 200 {
		t.Fatalf("metrics: status %d", code)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	outside.Must(t, err)
	return families
}

// sum returns the sum of the series that have all these labels. For a histogram it
// adds up the sums.
func sum(f *dto.MetricFamily, labels ...string) float64 {
	total := 0.0
	for _, m := range f.GetMetric() {
		all := true
		for i := 0; i < len(labels); i += 2 {
			all = all && hasLabel(m, labels[i], labels[i+1])
		}
		if all {
			total += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	return total
}

// seriesOf returns the first series of an executable.
func seriesOf(f *dto.MetricFamily, executable string) (*dto.Metric, bool) {
	for _, m := range f.GetMetric() {
		if hasLabel(m, "headroom_program", executable) {
			return m, true
		}
	}
	return nil, false
}

func hasLabel(m *dto.Metric, name, value string) bool {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue() == value
		}
	}
	return false
}
