// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// Scenarios of network limits, in two network namespaces connected by a pair of
// veths.

const (
	connections = programs + "/connections.py"
	clientIP    = "10.66.0.1"
	serverIP    = "10.66.0.2"
	serverPort  = "8080"
	// narrowRange has 2,000 ports, so that they run out in seconds.
	narrowRange = "40000 41999"
)

// A wire is a client's and a server's network namespace.
type wire struct{ client, server string }

// newWire makes both namespaces, and removes them, which removes the veths, with the
// scenario. It first removes namespaces left behind by a killed run.
func newWire(t *testing.T) *wire {
	t.Helper()
	for _, program := range []string{"ip", "tc", "nft", "nsenter", "taskset", "python3"} {
		need(t, program)
	}
	w := &wire{"headroom-client", "headroom-server"}
	remove := func() {
		for _, name := range []string{w.client, w.server} {
			_ = exec.Command("ip", "netns", "del", name).Run() // may not exist
		}
	}
	remove()
	t.Cleanup(remove)
	sh(t, "ip", "netns", "add", w.client)
	sh(t, "ip", "netns", "add", w.server)
	sh(t, "ip", "-n", w.client, "link", "add", "hr-client", "type", "veth", "peer", "name", "hr-server", "netns", w.server)
	sh(t, "ip", "-n", w.client, "addr", "add", clientIP+"/24", "dev", "hr-client")
	sh(t, "ip", "-n", w.server, "addr", "add", serverIP+"/24", "dev", "hr-server")
	for _, at := range [][2]string{{w.client, "hr-client"}, {w.server, "hr-server"}} {
		sh(t, "ip", "-n", at[0], "link", "set", "lo", "up")
		sh(t, "ip", "-n", at[0], "link", "set", at[1], "up")
	}
	return w
}

func sh(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// in returns a command line that runs in a namespace.
func in(namespace string, args ...string) []string {
	return append([]string{"nsenter", "--net=/run/netns/" + namespace}, args...)
}

// run starts the program that opens connections, and waits until it is ready.
func (w *wire) run(t *testing.T, namespace string, args ...string) *process {
	t.Helper()
	return w.runOn(t, namespace, "", args...)
}

// runOn is like run, on a list of CPUs.
func (w *wire) runOn(t *testing.T, namespace, cpus string, args ...string) *process {
	t.Helper()
	program := append([]string{python, connections}, args...)
	if cpus != "" {
		program = append([]string{"taskset", "-c", cpus}, program...)
	}
	command := in(namespace, program...)
	return startServer(t, exec.Command(command[0], command[1:]...))
}

// takeIn makes one CPU process the packets that arrive at an interface, with that
// many firewall rules per packet.
func (w *wire) takeIn(t *testing.T, namespace, device string, cpu, rules int) {
	t.Helper()
	path := fmt.Sprintf("/sys/class/net/%s/queues/rx-0/rps_cpus", device)
	sh(t, "ip", "netns", "exec", namespace, "sh", "-c", fmt.Sprintf("echo %x > %s", 1<<cpu, path)) // this command has a /sys of that namespace
	var text strings.Builder
	text.WriteString("table ip rules { chain in { type filter hook input priority 0;\n")
	for port := range rules {
		fmt.Fprintf(&text, "udp dport %d drop;\n", port+1)
	}
	text.WriteString("}; }\n")
	cmd := exec.Command("ip", "netns", "exec", namespace, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

func (w *wire) serve(t *testing.T) {
	t.Helper()
	w.run(t, w.server, "serve", serverIP, serverPort)
}

func (w *wire) sysctl(t *testing.T, name, value string) {
	t.Helper()
	sh(t, in(w.client, "sh", "-c", "echo '"+value+"' > /proc/sys/net/"+name)...)
}

// observeIn runs headroom in the client's namespace.
func (l *lab) observeIn(t *testing.T, w *wire, d time.Duration) *report {
	t.Helper()
	file := l.recording(l.scenario)
	r := l.diagnose(t, in(w.client), "--duration", d.String(), "--save", file)
	*l.observed = append(*l.observed, observation{l.scenario, file, r})
	return r
}

// addQuiet connects the namespaces with a second pair, which carries no traffic.
func (w *wire) addQuiet(t *testing.T) {
	t.Helper()
	sh(t, "ip", "-n", w.client, "link", "add", "hr-quiet", "type", "veth", "peer", "name", "hr-noise", "netns", w.server)
	sh(t, "ip", "-n", w.client, "link", "set", "hr-quiet", "up")
	sh(t, "ip", "-n", w.server, "link", "set", "hr-noise", "up")
}

// named matches the upstream, interface or host with that name.
func named(part string) who {
	return func(s subject) bool { return strings.Contains(s.Name, part) }
}

// portsExhausted runs a client that never reuses connections: headroom, outside of
// its namespace, must name the client, its destination, and the pool size that it
// needs.
func portsExhausted(t *testing.T, l *lab) {
	w := newWire(t)
	w.sysctl(t, "ipv4/ip_local_port_range", narrowRange)
	w.serve(t)
	client := w.run(t, w.client, "closing", serverIP, serverPort, "1750", "29")
	r := l.observe(t)
	stat := sh(t, in(w.client, "cat", "/proc/net/sockstat")...)
	if _, after, ok := strings.Cut(stat, " tw "); !ok || len(strings.Fields(after)[0]) < len("1000") {
		t.Fatalf("the scenario does not hold: fewer than 1,000 in TIME_WAIT\n%s", stat)
	}
	f := r.find(t, "port-exhaustion", "no-keep-alive", pid(client.pid))
	if !strings.Contains(f.Summary, serverIP+":"+serverPort) || !strings.Contains(f.Summary, "of 2000") {
		t.Errorf("the summary lacks the destination or the port range: %s", f)
	}
	f.recommends(t, "reuse-connections").quantity(t, 1, 20)
	r.nothingElse(t, about("port-exhaustion", pid(client.pid)))
}

// networkHealthy has a pool of reused connections, a veth at full speed (its nominal
// speed is arbitrary), an idle veth with frames of an unknown protocol, which the
// kernel counts as dropped, bursts that a single CPU can process, and a listener that
// waits for data. The packets that end its handshakes count as dropped, too.
func networkHealthy(t *testing.T, l *lab) {
	w := newWire(t)
	w.sysctl(t, "ipv4/ip_local_port_range", narrowRange)
	w.serve(t)
	w.run(t, w.client, "pool", serverIP, serverPort, "250")
	w.run(t, w.client, "blast", serverIP, serverPort)
	w.addQuiet(t)
	w.run(t, w.server, "frames", "hr-noise", "50")
	w.takeIn(t, w.client, "hr-client", 1, 300)
	w.run(t, w.server, "flood", clientIP, "9999", "600", "3000")
	w.run(t, w.client, "deferred", clientIP, "8081", "20")
	r := l.observeIn(t, w, observeFor)
	r.absent(t, func(f *finding) bool { return networkFindings[f.ID] })
}

var networkFindings = map[string]bool{"port-exhaustion": true, "conntrack-exhaustion": true, "nic-saturated": true, "accept-queue-overflow": true}

// tablesFill fills two limits while headroom observes: the ports towards one
// address, with connections that stay open, and the connection tracking table of
// the client's namespace, whose limit is that of the host and is not changed. Both
// must be reported with the remaining time, which the scenario then waits for.
func tablesFill(t *testing.T, l *lab) {
	w := newWire(t)
	w.sysctl(t, "ipv4/ip_local_port_range", narrowRange)
	sh(t, in(w.client, "nft", "table ip t { chain c { type filter hook output priority 0; ct state new counter accept; }; }")...)
	limit, err := strconv.Atoi(sh(t, in(w.client, "cat", "/proc/sys/net/netfilter/nf_conntrack_max")...))
	if err != nil || limit > 1<<20 {
		t.Skipf("a connection tracking table of %d entries is too large to fill", limit)
	}
	w.sysctl(t, "netfilter/nf_conntrack_udp_timeout", "120")
	w.serve(t)
	share := func(percent int) string { return strconv.Itoa(limit * percent / 100) }
	w.run(t, w.client, "datagrams", serverIP, share(72), strconv.Itoa(limit*12/1000))
	client := w.run(t, w.client, "hold", serverIP, serverPort, "1100", "40")
	r := l.observeIn(t, w, trendFor)

	ports := r.find(t, "port-exhaustion", "one-tuple", func(s subject) bool { return s.PID == client.pid })
	ports.recommends(t, "add-addresses").quantity(t, 1, 1)
	table := r.find(t, "conntrack-exhaustion", "table-full", func(s subject) bool { return s.Kind == "host" })
	table.recommends(t, "raise-conntrack").quantity(t, 1.1*float64(limit), 1.51*float64(limit))

	ports.comesTrue(t, r, func() bool { return sockets(t, client.pid) >= 2000 })
	table.comesTrue(t, r, func() bool {
		n, err := strconv.Atoi(sh(t, in(w.client, "cat", "/proc/sys/net/netfilter/nf_conntrack_count")...))
		return err == nil && n >= limit
	})
}

// trendFor is long enough for eight readings of the ports. A trend needs six. Ports are
// read every two seconds, and later if that second has other long work.
const trendFor = 18 * time.Second

// comesTrue waits for the event that a finding forecasts, and compares its time with
// the forecast.
func (f *finding) comesTrue(t *testing.T, r *report, isSo func() bool) {
	t.Helper()
	if f.Forecast == nil {
		t.Errorf("no forecast of what fills: %s", f)
		return
	}
	outside.Eventually(t, startLimit, f.Forecast.What+" to run out", isSo)
	after := time.Since(r.ended).Seconds()
	t.Logf("%s: forecast %.1f s, came after %.1f s", f.Forecast.What, f.Forecast.At, after)
	if at := f.Forecast.At; at < 0.7*after-1 || at > 1.4*after+1 {
		t.Errorf("forecast in %.1f s, it came after %.1f s: %s", at, after, f)
	}
}

// sockets returns the number of TCP sockets in use in a process's network namespace.
func sockets(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/sockstat", pid))
	outside.Must(t, err)
	_, after, _ := strings.Cut(string(text), "TCP: inuse ")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	outside.Must(t, err)
	return n
}

// softirqCore makes one CPU process 30,000 packets a second, with so many firewall
// rules that it is saturated, while the sender's CPU is nearly idle.
func softirqCore(t *testing.T, l *lab) {
	w := newWire(t)
	w.takeIn(t, w.server, "hr-server", 1, 8000)
	w.runOn(t, w.client, "0", "flood", serverIP, "9999", "50", "30000")
	r := l.observe(t)
	core := func(s subject) bool { return s.Kind == "core" && strings.Contains(s.Name, "1") }
	f := r.find(t, "nic-saturated", "one-softirq-core", core)
	f.recommends(t, "spread-interrupts").quantity(t, 2, 2)
	f.mentions(t, "drops")
}

// packetBursts has two queues that are too short for bursts, although the capacity
// suffices on average: the send queue of an interface, and the backlog of a CPU. The
// interface is so slow (60 Mbit/s for 25 sent) that Python sends its bursts faster on
// any machine.
func packetBursts(t *testing.T, l *lab) {
	w := newWire(t)
	sh(t, "tc", "-n", w.client, "qdisc", "add", "dev", "hr-client", "root", "tbf", "rate", "60mbit", "burst", "16k", "limit", "16k")
	w.run(t, w.client, "flood", serverIP, "9999", "100", "3000")
	w.takeIn(t, w.client, "hr-client", 1, 1000)
	w.runOn(t, w.server, "0", "flood", clientIP, "9999", "3000", "12000")
	r := l.observeIn(t, w, observeFor)
	sent := r.find(t, "nic-saturated", "drops", named("hr-client"))
	sent.recommends(t, "add-nodes")
	sent.mentions(t, "bursts")
	arrived := r.find(t, "nic-saturated", "drops", func(s subject) bool { return s.Kind == "core" })
	arrived.recommends(t, "spread-interrupts").quantity(t, 2, 2)
}

// nicShaped sends through a shaper of 50 Mbit/s.
func nicShaped(t *testing.T, l *lab) {
	w := newWire(t)
	w.serve(t)
	sh(t, "tc", "-n", w.client, "qdisc", "add", "dev", "hr-client", "root", "tbf", "rate", "50mbit", "burst", "32k", "limit", "100k")
	w.run(t, w.client, "blast", serverIP, serverPort)
	r := l.observeIn(t, w, observeFor)
	f := r.find(t, "nic-saturated", "link", named("hr-client"))
	if !strings.Contains(f.Summary, "shaper") {
		t.Errorf("the summary does not name the shaper as the limit: %s", f)
	}
	f.recommends(t, "add-nodes").quantity(t, 1, 2)
}
