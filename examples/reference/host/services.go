// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Ports on loopback, other than the default ports of the servers.
const (
	portShop = 18080 + iota
	portAPI
	portAPIMetrics
	portRates
	portWorker0
	portWorker1
	portReports
	portLoad
	portRedis
	portPostgres
	portRabbit
	portErlang
	portEpmd
)

func redisServer() service {
	return service{
		name: "redis", user: "redis", ready: accepts(portRedis),
		args: []string{"/usr/bin/redis-server",
			"--bind", "127.0.0.1", "--port", strconv.Itoa(portRedis), "--dir", in("redis"),
			"--save", "", "--appendonly", "no", "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"},
	}
}

// postgresBin returns the folder of the server's programs, which Debian leaves out of PATH.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		return "", errors.New("postgresql is not installed")
	}
	return slices.MaxFunc(found, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) }), nil
}

func postgresServer(bin string) service {
	return service{
		name: "postgres", user: "postgres",
		args: []string{filepath.Join(bin, "postgres"), "-D", in("postgres", "data"),
			"-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(portPostgres),
			"-c", "unix_socket_directories=" + in("postgres"), "-c", "shared_buffers=64MB", "-c", "max_connections=60"},
		ready: func(ctx context.Context) error {
			return exec.CommandContext(ctx, filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(portPostgres)).Run()
		},
	}
}

func epmd() service {
	return service{
		name: "epmd", user: "rabbitmq", ready: accepts(portEpmd),
		args: []string{"/usr/bin/epmd", "-address", "127.0.0.1", "-port", strconv.Itoa(portEpmd)},
	}
}

// portRabbitMetrics is as far from the port of the clients as by default (15692, 5672):
// headroom finds it by that.
const portRabbitMetrics = portRabbit + 10020

// writeRabbitConf switches the Prometheus plugin on, as the image for Docker does.
func writeRabbitConf() error {
	return errors.Join(
		writeFor("rabbitmq", in("rabbitmq", "plugins"), "[rabbitmq_prometheus].\n"),
		writeFor("rabbitmq", in("rabbitmq", "rabbitmq.conf"), fmt.Sprintf("prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = %d\n", portRabbitMetrics)))
}

// rabbit returns a broker with two schedulers, which do not spin while they are idle.
// It starts its own epmd instead of using the host's.
func rabbit() service {
	home := in("rabbitmq")
	return service{
		name: "rabbitmq", user: "rabbitmq", ready: accepts(portRabbit),
		args: []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"},
		env: []string{
			"HOME=" + home,
			"RABBITMQ_NODENAME=shop@localhost",
			"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
			"RABBITMQ_NODE_PORT=" + strconv.Itoa(portRabbit),
			"RABBITMQ_DIST_PORT=" + strconv.Itoa(portErlang),
			"RABBITMQ_MNESIA_BASE=" + home + "/mnesia",
			"RABBITMQ_LOG_BASE=" + home + "/log",
			"RABBITMQ_ENABLED_PLUGINS_FILE=" + home + "/plugins",
			"RABBITMQ_CONFIG_FILE=" + home + "/rabbitmq",
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
			"ERL_EPMD_ADDRESS=127.0.0.1",
			"ERL_EPMD_PORT=" + strconv.Itoa(portEpmd),
		},
	}
}

func nginx() service {
	return service{
		name: "nginx", user: "root", ready: answers(portShop, "/readyz"),
		args: []string{"/usr/sbin/nginx", "-c", in("nginx", "nginx.conf"), "-e", in("log", "nginx.log")},
	}
}

//go:embed nginx.conf
var nginxConf string

func writeNginxConf() error {
	text := strings.NewReplacer("{dir}", in("nginx"), "{port}", strconv.Itoa(portShop), "{api}", strconv.Itoa(portAPI)).Replace(nginxConf)
	return os.WriteFile(in("nginx", "nginx.conf"), []byte(text), 0o644)
}

// startPostgres makes a database with a random password, starts it, and fills it.
func (s *state) startPostgres(ctx context.Context, source string) error {
	bin, err := postgresBin()
	if err != nil {
		return err
	}
	password := in("postgres", "password")
	if err := writeFor("postgres", password, s.Password); err != nil {
		return err
	}
	if err := s.runOnce(ctx, "postgres", nil, nil, filepath.Join(bin, "initdb"),
		"-D", in("postgres", "data"), "-U", "shop", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--locale", "C", "--no-sync"); err != nil {
		return err
	}
	if err := s.start(ctx, postgresServer(bin)); err != nil {
		return err
	}
	schema, err := os.ReadFile(filepath.Join(source, "sql", "schema.sql"))
	if err != nil {
		return err
	}
	return s.runOnce(ctx, "postgres", []string{"PGPASSWORD=" + s.Password}, schema, filepath.Join(bin, "psql"),
		"-q", "-X", "-1", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", strconv.Itoa(portPostgres), "-U", "shop", "-d", "postgres")
}

// runOnce runs a program to its end as the user of a service, in its cgroup.
func (s *state) runOnce(ctx context.Context, name string, env []string, stdin []byte, args ...string) error {
	cmd, err := command(name, name, args, env)
	if err != nil {
		return err
	}
	cgroup, err := joinCgroup(cmd, name)
	if err != nil {
		return err
	}
	defer cgroup.Close() //nolint:errcheck // read only
	cmd.Stdin = bytes.NewReader(stdin)
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() }) //nolint:errcheck // it may have ended
	defer stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w (%s)", filepath.Base(args[0]), err, in("log", name+".log"))
	}
	return nil
}

// writeFor writes a file that only its owner may read.
func writeFor(owner, path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	c, err := credentialOf(owner)
	if err != nil {
		return err
	}
	return os.Chown(path, int(c.Uid), int(c.Gid))
}
