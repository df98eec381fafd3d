// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os"
	"testing"
)

// A scenario is one thing that must be seen, or must not.
type scenario struct {
	name string
	run  func(*testing.T, *lab)
}

var scenarios = []scenario{
	{"idle", idle},
	{"js-burn", jsBurn},
	{"exec-sync", execSync},
	{"atomics-wait", atomicsWait},
	{"fifo", fifo},
	{"hang", hang},
	{"hang-begins", hangBegins},
	{"quota", quota},
	{"quota-bursts", quotaBursts},
	{"oom-container", oomContainer},
	{"oom-pod", oomPod},
	{"neighbours", neighbours},
	{"memory", memory},
	{"gc-sawtooth", gcSawtooth},
	{"warm-up", warmUp},
	{"redis-keys", redisKeys},
	{"asyncio-sleep", asyncioSleep},
	{"hot-acceptor", hotAcceptor},
	{"hot-engine", hotEngine},
	{"spinning-worker", spinningWorker},
	{"jvm-load", jvmLoad},
	{"go-load", goLoad},
	{"nginx-busy", nginxBusy},
	{"redis-busy", redisBusy},
	{"work-in-workers", workInWorkers},
	{"express-healthy", expressHealthy},
	{"deploy", deploy},
	{"batch", batch},
	{"fd-leak", fdLeak},
	{"fd-leak-at-limit", fdLeakAtLimit},
	{"connections-ramp", connectionsRamp},
	{"connections-near-limit", connectionsNearLimit},
	{"connections-pool", connectionsPool},
	{"backlog-bursts", backlogBursts},
	{"slow-accept", slowAccept},
	{"blocked-accept", blockedAccept},
	{"close-wait", closeWait},
	{"disk-full", diskFull},
	{"disk-backup", diskBackup},
	{"cache-thrash", cacheThrash},
	{"cache-scan", cacheScan},
	{"limit-filled", limitFilled},
	{"limit-tight", limitTight},
	{"ports-exhausted", portsExhausted},
	{"network-healthy", networkHealthy},
	{"tables-fill", tablesFill},
	{"nic-shaped", nicShaped},
	{"softirq-core", softirqCore},
	{"packet-bursts", packetBursts},
	{"unprivileged", unprivileged},
	{"bpf-denied", bpfDenied},
	{"interrupt", interrupt},
	{"agent", agent},
	{"bad-input", badInput},
	{"replay", replay},
}

// TestLive runs the scenarios one after another: each observes the whole host.
func TestLive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the live scenarios need root: eBPF, runc, CPU affinity")
	}
	l := newLab(t)
	ran, skipped := 0, 0
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			defer func() {
				if t.Skipped() {
					skipped++
				} else {
					ran++
				}
			}()
			s.run(t, l.forScenario(s.name))
		})
	}
	t.Logf("live scenarios: %d ran, %d skipped", ran, skipped)
}
