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

	"github.com/headroom-project/headroom/cmd/headroom/internal/daemon"
)

// agentOptions are the flags of agent.
type agentOptions struct {
	daemon.Options
	logLevel  string
	logFormat string
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
  /healthz, /readyz  200 when it observes; ready after the first judgement, and
                     while two thirds of the questions can be asked

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
	f.StringArrayVar(&o.Listen, "web.listen-address", []string{defaultListen}, "address for the page, the API and metrics; repeatable")
	f.StringArrayVar(&o.ListenMetrics, "web.metrics-listen-address", nil, "address for /metrics, /healthz and /readyz alone, such as 192.0.2.10:9779; repeatable")
	f.StringArrayVar(&o.AllowedHosts, "web.allowed-host", nil, "further host name to accept in requests to a loopback address, such as that of a reverse proxy; repeatable")
	f.StringVar(&o.WebConfig, "web.config.file", "", "TLS and passwords for all addresses, a web configuration file of prometheus/exporter-toolkit")
	f.StringVar(&o.Config, "config.file", "", "windows, muted findings, thresholds, memory, storage, OTLP")
	f.StringVar(&o.Storage, "storage.path", "", "directory for what it remembers (default $STATE_DIRECTORY; without either it forgets when it ends)")
	kubeFlags(&o.Kube, f)
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
func kubeFlags(o *daemon.KubeOptions, f *pflag.FlagSet) {
	f.StringVar(&o.Mode, "kubernetes", daemon.KubeAuto, "name pods and tell findings as Events: on, off, or auto: on in a pod")
	f.StringVar(&o.Node, "kubernetes.node", "", "name of this node in the API (default $"+daemon.EnvNodeName+")")
	f.StringVar(&o.KubeletCA, "kubernetes.kubelet-ca", "", "what the kubelet's certificate is checked by, a PEM file (default the cluster's CA)")
}
