// SPDX-License-Identifier: Apache-2.0

// Package daemon is the agent: it observes a host continuously, evaluates the
// observations every few seconds, and serves and publishes the findings. Other
// parts, such as saving the state, are in sibling packages.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	webtoolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/headroom-project/headroom/agent/files"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/cmd/headroom/internal/cluster"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
	"github.com/headroom-project/headroom/cmd/headroom/internal/keeper"
	"github.com/headroom-project/headroom/cmd/headroom/internal/otlpexport"
	"github.com/headroom-project/headroom/cmd/headroom/internal/rules"
)

// Options configure an agent.
type Options struct {
	Listen        []string // addresses of the web page, the API and metrics
	ListenMetrics []string // addresses of metrics and health only
	AllowedHosts  []string // additional names by which clients on this machine call the agent
	WebConfig     string   // TLS and passwords, a file of prometheus/exporter-toolkit
	Config        string   // the config file
	Storage       string   // directory for the saved state
	Kube          cluster.Options
	Reload        <-chan os.Signal // a value triggers a reload of Config; nil for never
	Log           *slog.Logger
}

// A Daemon is an agent with its config read and its sockets open.
type Daemon struct {
	Options
	rules     *rules.Rules
	endpoints endpoints
	ends      []func() error // functions that Run calls at its end, in this order
}

// New reads the config and opens the sockets, so that errors in either are reported
// before anything runs. Run closes the sockets.
func New(o Options) (*Daemon, error) {
	r, err := rules.Read(o.Config)
	if err != nil {
		return nil, err
	}
	if o.WebConfig != "" {
		if err := files.Regular(o.WebConfig); err != nil { // opening a FIFO would block
			return nil, fmt.Errorf("--web.config.file: %w", err)
		}
	}
	if err := webtoolkit.Validate(o.WebConfig); err != nil {
		return nil, fmt.Errorf("--web.config.file: %w", err)
	}
	warnChangeable(o.Log, o.Config, o.WebConfig)
	endpoints, err := listen(&o)
	if err != nil {
		return nil, err
	}
	return &Daemon{Options: o, rules: r, endpoints: endpoints}, nil
}

// warnChangeable logs config files that other users can change: they control where
// the agent writes and which clients it answers.
func warnChangeable(log *slog.Logger, paths ...string) {
	for _, path := range paths {
		if path == "" {
			continue
		}
		if err := files.Changeable(path); err != nil {
			log.Warn("other users can change a config file", "path", path, "err", err, "cure", "chown root and chmod go-w")
		}
	}
}

const (
	// forever is longer than any machine runs.
	forever = 100 * 365 * 24 * time.Hour
	// maxFollowed is the number of entities of a full node (250 pods of 40 processes)
	// with its busy threads and those that ended in the last minutes. It limits the
	// memory, because columns are as long as the index.
	maxFollowed = 50_000
)

// Run observes, evaluates, serves and publishes until ctx ends or a server fails.
// It must be called once only. It limits the memory and the threads of the whole
// process.
func (d *Daemon) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	on := host.New(maxFollowed)
	on.Sparing = true
	on.Brokers = d.rules.Brokers()
	on.NoFrames = d.rules.Config.NoFrames
	w, err := d.start(ctx, on, cancel)
	if err != nil {
		d.endpoints.close()
	} else {
		err = d.observe(ctx, on, w)
	}
	cancel()
	for _, end := range d.ends {
		err = errors.Join(err, end())
	}
	return err
}

// start starts everything except the samplers: saving, publishing and serving,
// until ctx ends. It calls failed if a server fails.
func (d *Daemon) start(ctx context.Context, on *sampler.Host, failed func()) (*watcher, error) {
	log := d.Log
	kube, err := cluster.Start(ctx, &d.Kube, on, log)
	if err != nil {
		return nil, err
	}
	w := newWatcher(host.Describe(), on, d.rules, log, host.Uptime())
	server := newWebServer(w, &d.Options)
	w.http = server.Server // before any read of its metrics
	w.keeper.Start(ctx, keeper.Path(d.Storage, d.rules.Config.Storage.Path))
	d.atEnd(w.keeper.Wait)
	if kube != nil {
		d.atEnd(kube.Wait)
		w.own.MustRegister(kube)
		w.sinks = append(w.sinks, kube.Sink())
	}
	if err := d.export(ctx, w); err != nil {
		return nil, err
	}
	reloaded := reloads(ctx, d.Reload, d.Config, w)
	d.atEnd(func() { <-reloaded })
	server.start(d.endpoints, w, d.WebConfig, failed)
	d.ends = append(d.ends, server.shutdown)
	return w, nil
}

// export sends the metrics and findings of w to an OTLP receiver, if one is
// configured.
func (d *Daemon) export(ctx context.Context, w *watcher) error {
	x, err := otlpexport.Start(ctx, otlpexport.Options{
		Config: d.rules.Config.OTLP, Version: host.Version(), Node: d.Kube.NodeName(), Ledger: w.ledger, Own: w.own, Log: d.Log,
	})
	if err != nil || x == nil {
		return err
	}
	d.atEnd(func() { x.End(goodbye) })
	w.own.MustRegister(x)
	if sink, ok := x.Sink(); ok {
		w.sinks = append(w.sinks, sink)
	}
	return nil
}

func (d *Daemon) atEnd(wait func()) {
	d.ends = append(d.ends, func() error { wait(); return nil })
}

// observe reads the samplers and passes each snapshot to the watcher, until ctx
// ends.
func (d *Daemon) observe(ctx context.Context, on *sampler.Host, w *watcher) error {
	log := d.Log
	samplers := run.Open(run.Options{Samplers: host.Samplers, Host: on})
	w.memory.Limit(d.rules.Config.Memory)
	limitThreads()
	for _, s := range samplers.Status() {
		if s.Err != nil {
			log.Warn("a sampler could not be opened", "sampler", s.Sampler.Name, "err", s.Err)
		}
	}
	w.stats = samplers.Stats
	err := errors.Join(samplers.Observe(ctx, forever, w.see), samplers.Close())
	_, _ = systemd.SdNotify(false, systemd.SdNotifyStopping) // without systemd there is no socket
	return err
}

// mostCPUs is the number of CPUs that the Go runtime uses at once. On a host with
// 64, garbage collection would otherwise use every idle CPU and compete with the
// workload.
const mostCPUs = 2

// limitThreads sets GOMAXPROCS unless the environment sets it.
func limitThreads() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(mostCPUs, runtime.GOMAXPROCS(0)))
	}
}

// reloads reads the config again at each signal, until ctx ends; then it closes the
// returned channel.
func reloads(ctx context.Context, signals <-chan os.Signal, path string, w *watcher) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				w.reload(path)
			}
		}
	}()
	return done
}
