// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/headroom-project/headroom/cmd/headroom/internal/cluster"
	"github.com/headroom-project/headroom/cmd/headroom/internal/daemon"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// agentOptions are the flags of agent.
type agentOptions struct {
	daemon.Options
	logLevel  string
	logFormat string
}

// defaultListen is loopback: not everyone should read what headroom knows about a
// host.
const defaultListen = "127.0.0.1:9779"

func (a *app) agent() *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run as an agent: track findings over time, serve an API and Prometheus metrics",
		Long: `Observes the host continuously, with the same sources as diagnose. A finding is
pending at first, firing when it persists, and cleared when it is resolved. The
agent serves

  /                  a web page: current findings, findings of the last day, services
  /api/v1/findings   findings as JSON (as diagnose -o json)
  /api/v1/findings/history?since=24h
                      each time that a finding fired in the last seven days
  /api/v1/services   each service's event loops, CPU, memory, descriptors
  /metrics           Prometheus metrics of services, containers, findings and the agent
  /healthz, /readyz  alive while it observes; ready after the first evaluation, and
                     while two thirds of the analyzers that this node supports run

It listens on loopback by default. --web.metrics-listen-address opens an address
that serves /metrics, /healthz and /readyz without the page and the API. A
password in --web.config.file protects all paths but /healthz and /readyz.

SIGHUP reloads the config. If it is invalid, the agent keeps the previous one.

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
	f.StringArrayVar(&o.Listen, "web.listen-address", []string{defaultListen}, "address for the page, the API and metrics; repeatable")
	f.StringArrayVar(&o.ListenMetrics, "web.metrics-listen-address", nil, "address for only /metrics, /healthz and /readyz, for example 192.0.2.10:9779; repeatable")
	f.StringArrayVar(&o.AllowedHosts, "web.allowed-host", nil, "further host name to accept in requests to a loopback address, such as that of a reverse proxy; repeatable")
	f.StringVar(&o.WebConfig, "web.config.file", "", "TLS and passwords for all addresses, a web configuration file of prometheus/exporter-toolkit")
	f.StringVar(&o.Config, "config.file", "", "config file: windows, muted findings, thresholds, memory, storage, OTLP, brokers")
	f.StringVar(&o.Storage, "storage.path", "", "directory for saved state (default $STATE_DIRECTORY; without either, state is lost at exit)")
	kubeFlags(&o.Kube, f)
	f.StringVar(&o.logLevel, "log.level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log.format", "logfmt", "logfmt or json")
	return cmd
}

func (a *app) logger(o *agentOptions) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, fmt.Errorf("--log.level %s: unknown level (known: debug, info, warn, error)", o.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "logfmt":
		return slog.New(slog.NewTextHandler(a.stderr, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, opts)), nil
	}
	return nil, fmt.Errorf("--log.format %s: unknown format (known: logfmt, json)", o.logFormat)
}

func (a *app) runAgent(o *agentOptions) error {
	log, err := a.logger(o)
	if err != nil {
		return err
	}
	if err := host.EnoughFiles(); err != nil {
		return err
	}
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP) // before it serves: an unhandled SIGHUP ends the process
	defer signal.Stop(hups)
	o.Log, o.Reload = log, hups
	d, err := daemon.New(o.Options)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	return d.Run(ctx)
}

// kubeFlags adds the flags about Kubernetes.
func kubeFlags(o *cluster.Options, f *pflag.FlagSet) {
	f.StringVar(&o.Mode, "kubernetes", cluster.Auto, "resolve pod names and publish findings as Kubernetes Events: on, off, or auto (on when running in a pod)")
	f.StringVar(&o.Node, "kubernetes.node", "", "name of this node in the API (default $"+cluster.EnvNodeName+")")
	f.StringVar(&o.KubeletCA, "kubernetes.kubelet-ca", "", "CA of the kubelet's certificate, a PEM file (default: the cluster's CA)")
}
