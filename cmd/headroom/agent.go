// SPDX-License-Identifier: Apache-2.0

package main

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
	"github.com/coreos/go-systemd/v22/daemon"
	webtoolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/agent/run"
)

// agentOptions are the flags of agent.
type agentOptions struct {
	listen        []string
	listenMetrics []string
	webConfig     string
	config        string
	storage       string
	logLevel      string
	logFormat     string
	kube          kubeOptions
}

// defaultListen is loopback: what headroom knows of a host is not everybody's.
const defaultListen = "127.0.0.1:9779"

func (a *app) agent() *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Watch this host for good: findings with a life, an API, metrics",
		Long: `Watches the host for good with what diagnose looks with once. A finding is
pending when it is first seen, firing when it lasts, and cleared when it is
over; it serves

  /                  a page: findings of now and of the last day, services
  /api/v1/findings   findings as JSON (the contract of diagnose -o json)
  /api/v1/findings/history?since=24h
                      each time that a finding fired in the last seven days
  /api/v1/services   each service's event loops, CPU, memory, descriptors
  /metrics           for Prometheus: services and containers, findings, itself
  /healthz, /readyz  200 when it observes; ready after the first judgement

It listens on loopback by default. --web.metrics-listen-address opens an address
that serves /metrics, /healthz and /readyz without the page and the API. A
password in --web.config.file protects all paths but /healthz and /readyz.

SIGHUP reads the config again: a bad one is refused, and the old one stays.

Exit status: 0 after SIGTERM or SIGINT, 2 when it could not run.`,
		Example: `  sudo headroom agent
  sudo headroom agent --config.file /etc/headroom.yml
  sudo headroom agent --web.metrics-listen-address 192.0.2.10:9779
  sudo headroom agent --web.listen-address :9779 --web.config.file web.yml
  headroom config check /etc/headroom.yml`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return a.runAgent(&o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.listen, "web.listen-address", []string{defaultListen}, "address for the page, the API and metrics; repeatable")
	f.StringArrayVar(&o.listenMetrics, "web.metrics-listen-address", nil, "address for /metrics, /healthz and /readyz alone, such as :9779; repeatable")
	f.StringVar(&o.webConfig, "web.config.file", "", "TLS and passwords for all addresses, a web configuration file of prometheus/exporter-toolkit")
	f.StringVar(&o.config, "config.file", "", "windows, muted findings, thresholds, memory, storage, OTLP")
	f.StringVar(&o.storage, "storage.path", "", "directory for what it remembers (default $STATE_DIRECTORY; without either it forgets when it ends)")
	o.kube.add(f)
	f.StringVar(&o.logLevel, "log.level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log.format", "logfmt", "logfmt or json")
	return cmd
}

func (a *app) logger(o *agentOptions) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, fmt.Errorf("--log.level %s: it is debug, info, warn or error", o.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "logfmt":
		return slog.New(slog.NewTextHandler(a.stderr, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, opts)), nil
	}
	return nil, fmt.Errorf("--log.format %s: it is logfmt or json", o.logFormat)
}

func (a *app) runAgent(o *agentOptions) error {
	log, err := a.logger(o)
	if err != nil {
		return err
	}
	rules, err := readRules(o.config)
	if err != nil {
		return err
	}
	if err := webtoolkit.Validate(o.webConfig); err != nil {
		return fmt.Errorf("--web.config.file: %w", err)
	}
	endpoints, err := listen(o)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	return watchHost(ctx, o, rules, endpoints, log)
}

const (
	// forGood is longer than any machine runs.
	forGood = 100 * 365 * 24 * time.Hour
	// maxFollowed is a full node (250 pods of 40 processes) with its busy threads,
	// and what ended in the last minutes. Columns are as long as the index: this
	// bounds the memory.
	maxFollowed = 50_000
)

// watchHost runs the samplers, the judgements and the server until ctx ends or
// the server fails.
func watchHost(ctx context.Context, o *agentOptions, rules *rules, endpoints endpoints, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	host := hostWithRoom(maxFollowed)
	host.Sparing = true
	kube, err := startKube(ctx, &o.kube, host, log)
	if err != nil {
		return err
	}
	w := newWatcher(hostFacts(), host, rules, log, uptime())
	kept := w.keeper.start(ctx, storagePath(o.storage, rules.config.Storage.Path))
	kube.attach(w)
	export, err := startOTLP(ctx, rules.config.OTLP, o.kube.nodeName(), w)
	if err != nil {
		return err
	}
	hups := reloads(ctx, o.config, w) // before anybody can see that it runs: an unhandled SIGHUP ends it
	server := serve(endpoints, w, o.webConfig, log, cancel)
	samplers := run.Open(run.Options{Samplers: samplers, Host: host})
	limitMemory(rules.config.Memory, log)
	limitThreads()
	for _, s := range samplers.Status() {
		if s.Err != nil {
			log.Warn("a sampler could not be opened", "sampler", s.Sampler.Name, "err", s.Err)
		}
	}
	w.stats = samplers.Stats
	err = errors.Join(samplers.Observe(ctx, forGood, w.see), samplers.Close())
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) // without systemd there is nobody to tell
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
