// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headroom-project/headroom/lab/contract"
)

// A scenario is a fault that must be found, or a similar condition without a fault,
// which must have no finding.
type scenario struct {
	name string
	run  func(*testing.T, *lab)
	// with is the name of the window that the scenario shares with the adjacent ones in
	// the list.
	with string
}

var scenarios = []scenario{
	{"idle", idle, ""},
	{"js-burn", jsBurn, ""},
	{"exec-sync", execSync, "blocked"},
	{"atomics-wait", atomicsWait, "blocked"},
	{"fifo", fifo, "blocked"},
	{"asyncio-sleep", asyncioSleep, "blocked"},
	{"two-threads", twoThreads, "blocked"},
	{"hang", hang, ""},
	{"hang-begins", hangBegins, ""},
	{"quota", quota, ""},
	{"quota-bursts", quotaBursts, ""},
	{"oom-container", oomContainer, ""},
	{"oom-pod", oomPod, ""},
	{"neighbours", neighbours, ""},
	{"memory", memory, ""},
	{"gc-sawtooth", gcSawtooth, ""},
	{"warm-up", warmUp, ""},
	{"redis-keys", redisKeys, ""},
	{"hot-acceptor", hotAcceptor, ""},
	{"hot-engine", hotEngine, ""},
	{"spinning-worker", spinningWorker, ""},
	{"one-shot-script", oneShotScript, ""},
	{"jvm-load", jvmLoad, ""},
	{"go-load", goLoad, ""},
	{"nginx-busy", nginxBusy, ""},
	{"redis-busy", redisBusy, ""},
	{"redis-small", redisSmall, ""},
	{"redis-jobs", redisJobs, ""},
	{"work-in-workers", workInWorkers, ""},
	{"express-healthy", expressHealthy, ""},
	{"deploy", deploy, ""},
	{"batch", batch, ""},
	{"batch-limited", batchLimited, ""},
	{"fd-leak", fdLeak, "connections"},
	{"fd-leak-at-limit", fdLeakAtLimit, "connections"},
	{"connections-ramp", connectionsRamp, "connections"},
	{"connections-near-limit", connectionsNearLimit, "connections"},
	{"connections-pool", connectionsPool, "connections"},
	{"slow-accept", slowAccept, "connections"},
	{"close-wait", closeWait, "connections"},
	{"backlog-bursts", backlogBursts, ""},
	{"blocked-accept", blockedAccept, ""},
	{"disk-full", diskFull, ""},
	{"disk-backup", diskBackup, ""},
	{"cache-thrash", cacheThrash, ""},
	{"cache-scan", cacheScan, ""},
	{"limit-filled", limitFilled, ""},
	{"limit-tight", limitTight, ""},
	{"ports-exhausted", portsExhausted, ""},
	{"network-healthy", networkHealthy, ""},
	{"tables-fill", tablesFill, ""},
	{"used-up", usedUp, ""},
	{"nic-shaped", nicShaped, ""},
	{"softirq-core", softirqCore, ""},
	{"packet-bursts", packetBursts, ""},
	{"unprivileged", unprivileged, ""},
	{"bpf-denied", bpfDenied, ""},
	{"interrupt", interrupt, ""},
	{"agent", agent, ""},
	{"two-agents", twoAgents, ""},
	{"little-memory", littleMemory, ""},
	{"right-size", rightSize, ""},
	{"fork-storm", forkStorm, ""},
	{"bad-input", badInput, ""},
	{"cut-recording", cutRecording, ""},
	{"replay", replay, ""},
}

// TestLive runs the scenarios one after another: each observes the whole host.
// Those that share a window run at the same time.
func TestLive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the live scenarios need root: eBPF, runc, CPU affinity")
	}
	l := newLab(t)
	var ran, skipped atomic.Int32
	run := func(s scenario, own *lab) {
		t.Run(s.name, func(t *testing.T) {
			defer func() {
				if t.Skipped() {
					skipped.Add(1)
				} else {
					ran.Add(1)
				}
			}()
			stolen, began := hostStolen(t), time.Now()
			defer func() {
				if share := stolenSince(t, stolen, began); t.Failed() && share >= contract.NoticedSteal {
					t.Logf("robbed: %s failed while the hypervisor took %.0f%% of the CPU time", t.Name(), 100*share)
				}
			}()
			s.run(t, own)
		})
	}
	for i := 0; i < len(scenarios); {
		s := scenarios[i]
		if s.with == "" {
			run(s, l.forScenario(s.name))
			i++
			continue
		}
		end := i
		for end < len(scenarios) && scenarios[end].with == s.with {
			end++
		}
		l.together(t, s.with, scenarios[i:end], run)
		i = end
	}
	t.Logf("live scenarios: %d ran, %d skipped", ran.Load(), skipped.Load())
}
