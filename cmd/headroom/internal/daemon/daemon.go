// SPDX-License-Identifier: Apache-2.0

// Package daemon is the agent: it watches a host, judges what it sees again and
// again, remembers it across restarts, and serves and publishes what it finds.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	systemd "github.com/coreos/go-systemd/v22/daemon"
	webtoolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
	"github.com/headroom-project/headroom/cmd/headroom/internal/rules"
)

// Options are what an agent is started with.
type Options struct {
	Listen        []string // addresses for the page, the API and metrics
	ListenMetrics []string // addresses for metrics and health alone
	WebConfig     string   // TLS and passwords, a file of prometheus/exporter-toolkit
	Config        string   // the config file
	Storage       string   // directory for the saved state
	Kube          KubeOptions
	Log           *slog.Logger
}

// A Daemon is an agent that has its config and its sockets.
type Daemon struct {
	Options
	rules     *rules.Rules
	endpoints endpoints
}

// New reads the config and opens the sockets. An agent that cannot run as it is
// told to fails here.
func New(o Options) (*Daemon, error) {
	r, err := rules.Read(o.Config)
	if err != nil {
		return nil, err
	}
	if err := webtoolkit.Validate(o.WebConfig); err != nil {
		return nil, fmt.Errorf("--web.config.file: %w", err)
	}
	endpoints, err := listen(&o)
	if err != nil {
		return nil, err
	}
	return &Daemon{Options: o, rules: r, endpoints: endpoints}, nil
}

const (
	// forGood is longer than any machine runs.
	forGood = 100 * 365 * 24 * time.Hour
	// maxFollowed is a full node (250 pods of 40 processes) with its busy threads,
	// and what ended in the last minutes. Columns are as long as the index: this
	// bounds the memory.
	maxFollowed = 50_000
)

// Run runs the samplers, the judgements and the server until ctx ends or the
// server fails.
func (d *Daemon) Run(ctx context.Context) error {
	log := d.Log
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	on := host.New(maxFollowed)
	on.Sparing = true
	kube, err := startKube(ctx, &d.Kube, on, log)
	if err != nil {
		return err
	}
	w := newWatcher(host.Describe(), on, d.rules, log, host.Uptime())
	kept := w.keeper.start(ctx, storagePath(d.Storage, d.rules.Config.Storage.Path))
	kube.attach(w)
	export, err := startOTLP(ctx, d.rules.Config.OTLP, d.Kube.nodeName(), w)
	if err != nil {
		return err
	}
	hups := reloads(ctx, d.Config, w) // before anybody can see that it runs: an unhandled SIGHUP ends it
	server := serve(d.endpoints, w, d.WebConfig, log, cancel)
	samplers := run.Open(run.Options{Samplers: host.Samplers, Host: on})
	limitMemory(d.rules.Config.Memory, log)
	limitThreads()
	for _, s := range samplers.Status() {
		if s.Err != nil {
			log.Warn("a sampler could not be opened", "sampler", s.Sampler.Name, "err", s.Err)
		}
	}
	w.stats = samplers.Stats
	err = errors.Join(samplers.Observe(ctx, forGood, w.see), samplers.Close())
	_, _ = systemd.SdNotify(false, systemd.SdNotifyStopping) // without systemd there is nobody to tell
	cancel()
	<-hups
	awaitSave(kept, log)
	kube.wait()
	export.end(log)
	return errors.Join(err, server.shutdown())
}

// garbageShare is how much garbage may gather, in percent of what is in use,
// before it is collected. An agent runs on every node for good: a quarter less
// memory is worth a quarter of a percent of a core (docs/benchmarks.md).
const garbageShare = 40

// mostCPUs is how many CPUs the Go runtime runs on at once. On a host with 64 a
// collection of garbage would else take all that are idle, under everybody's feet.
const mostCPUs = 2

// limitThreads leaves what the environment says (GOMAXPROCS) as it is.
func limitThreads() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(mostCPUs, runtime.GOMAXPROCS(0)))
	}
}

// runtimeShare is the part of a container's memory that the Go runtime may use:
// the rest is for eBPF's maps, which count as the container's, and for the pages
// of its own file.
const runtimeShare = 2

// limitMemory leaves what the environment says (GOMEMLIMIT, GOGC) as it is.
func limitMemory(bytes int64, log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(budget(bytes, log))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbageShare)
	}
}

// budget is what the config says, or less where the agent's own cgroup allows
// less: the kernel ends who exceeds that.
func budget(bytes int64, log *slog.Logger) int64 {
	limit, err := memlimit.FromCgroup()
	if err != nil {
		return bytes // no limit, or none that can be seen
	}
	own := int64(min(limit/runtimeShare, math.MaxInt64))
	if own >= bytes {
		return bytes
	}
	log.Warn("its own cgroup has less memory than the budget of the config takes: garbage is collected more often",
		"limit", limit, "budget", own, "enough", bytes*runtimeShare)
	return own
}

// reloads reads the config again at each SIGHUP, until ctx ends; then it closes
// what it returns.
func reloads(ctx context.Context, path string, w *watcher) <-chan struct{} {
	hups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hups, syscall.SIGHUP)
	go func() {
		defer close(done)
		defer signal.Stop(hups)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hups:
				w.reload(path)
			}
		}
	}()
	return done
}
