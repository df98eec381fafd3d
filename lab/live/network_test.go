// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Scenarios of the network's limits, in two network namespaces of their own
// that a pair of veths joins.

const (
	connections = programs + "/connections.py"
	serverIP    = "10.66.0.2"
	serverPort  = "8080"
	// narrowRange has 2,000 ports, so that they run out in seconds.
	narrowRange = "40000 41999"
)

// A wire is a client's and a server's network namespace.
type wire struct{ client, server string }

// newWire makes both, and removes them with the scenario: their veths go with
// them. Those of a run that was killed are removed first.
func newWire(t *testing.T) *wire {
	t.Helper()
	for _, program := range []string{"ip", "tc", "nft", "nsenter", "python3"} {
		need(t, program)
	}
	w := &wire{"headroom-client", "headroom-server"}
	remove := func() {
		for _, name := range []string{w.client, w.server} {
			_ = exec.Command("ip", "netns", "del", name).Run() // absent is as good
		}
	}
	remove()
	t.Cleanup(remove)
	sh(t, "ip", "netns", "add", w.client)
	sh(t, "ip", "netns", "add", w.server)
	sh(t, "ip", "-n", w.client, "link", "add", "hr-client", "type", "veth", "peer", "name", "hr-server", "netns", w.server)
	sh(t, "ip", "-n", w.client, "addr", "add", "10.66.0.1/24", "dev", "hr-client")
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

// in is a command in a namespace.
func in(namespace string, args ...string) []string {
	return append([]string{"nsenter", "--net=/run/netns/" + namespace}, args...)
}

// run starts the program that makes connections and waits until it says so.
func (w *wire) run(t *testing.T, namespace string, args ...string) *process {
	t.Helper()
	command := in(namespace, append([]string{"python3", connections}, args...)...)
	return startServer(t, exec.Command(command[0], command[1:]...))
}

func (w *wire) serve(t *testing.T) {
	t.Helper()
	w.run(t, w.server, "serve", serverIP, serverPort)
}

func (w *wire) sysctl(t *testing.T, name, value string) {
	t.Helper()
	sh(t, in(w.client, "sh", "-c", "echo '"+value+"' > /proc/sys/net/"+name)...)
}

// observeIn lets headroom watch from within the client's namespace.
func (l *lab) observeIn(t *testing.T, w *wire) *report {
	t.Helper()
	file := l.recording(l.scenario)
	r := l.diagnose(t, in(w.client), "--duration", observeFor.String(), "--save", file)
	*l.observed = append(*l.observed, observation{l.scenario, file, r})
	return r
}

// named means the upstream, interface or host of that name.
func named(part string) who {
	return func(s subject) bool { return strings.Contains(s.Name, part) }
}

// portsExhausted has a client that uses no connection twice: headroom, outside
// of its namespace, names it, where it connects to, and the pool that it needs.
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
		t.Errorf("the summary does not say where to, or the range: %s", f)
	}
	f.recommends(t, "reuse-connections").quantity(t, 1, 20)
	r.nothingElse(t, about("port-exhaustion", pid(client.pid)))
}

// networkHealthy has a pool of connections that are used again, and a plain
// veth as fast as it goes, whose own speed means nothing.
func networkHealthy(t *testing.T, l *lab) {
	w := newWire(t)
	w.sysctl(t, "ipv4/ip_local_port_range", narrowRange)
	w.serve(t)
	w.run(t, w.client, "pool", serverIP, serverPort, "250")
	w.run(t, w.client, "blast", serverIP, serverPort)
	r := l.observeIn(t, w)
	r.absent(t, func(f *finding) bool { return networkFindings[f.ID] })
}

var networkFindings = map[string]bool{"port-exhaustion": true, "conntrack-exhaustion": true, "nic-saturated": true}

// conntrackFull fills the table of its own namespace. The limit is the host's,
// and is not touched.
func conntrackFull(t *testing.T, l *lab) {
	w := newWire(t)
	sh(t, in(w.client, "nft", "table ip t { chain c { type filter hook output priority 0; ct state new counter accept; }; }")...)
	limit, err := strconv.Atoi(sh(t, in(w.client, "cat", "/proc/sys/net/netfilter/nf_conntrack_max")...))
	if err != nil || limit > 1<<20 {
		t.Skipf("a connection tracking table of %d entries is too large to fill", limit)
	}
	w.sysctl(t, "netfilter/nf_conntrack_udp_timeout", "120")
	w.run(t, w.client, "datagrams", serverIP, strconv.Itoa(limit*95/100))
	r := l.observeIn(t, w)
	f := r.find(t, "conntrack-exhaustion", "table-full", func(s subject) bool { return s.Kind == "host" })
	f.recommends(t, "raise-conntrack").quantity(t, 1.35*float64(limit), 1.51*float64(limit))
}

// nicShaped sends through a shaper of 50 Mbit/s.
func nicShaped(t *testing.T, l *lab) {
	w := newWire(t)
	w.serve(t)
	sh(t, "tc", "-n", w.client, "qdisc", "add", "dev", "hr-client", "root", "tbf", "rate", "50mbit", "burst", "32k", "limit", "100k")
	w.run(t, w.client, "blast", serverIP, serverPort)
	r := l.observeIn(t, w)
	f := r.find(t, "nic-saturated", "link", named("hr-client"))
	if !strings.Contains(f.Summary, "shaper") {
		t.Errorf("the summary does not say that the limit is the shaper's: %s", f)
	}
	f.recommends(t, "add-nodes").quantity(t, 1, 2)
}
