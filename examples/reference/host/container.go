// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// A container runs one of the shop's own services, in a cgroup with a path like those
// of a kubelet.
type container struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	Pod  string `json:"pod"`
	QOS  string `json:"qos"` // burstable: its request is below its limit

	cores  float64
	memory int64
	args   []string
	env    []string
	mounts []mount
	port   int // of /healthz
}

const (
	cfsPeriod = 100_000 // µs: the kernel's default and the kubelet's
	openFiles = 1024
	nobody    = 65534
)

// node returns a node command with a heap limit that fits the container.
func node(heapMB int, program string) []string {
	return []string{"/usr/bin/node", "--max-old-space-size=" + strconv.Itoa(heapMB), program}
}

// containers returns the shop's services with their limits.
func containers(password string) []container {
	env := []string{
		"NODE_ENV=production",
		"REDIS_URL=redis://" + addr(portRedis),
		"AMQP_URL=amqp://guest:guest@" + addr(portRabbit),
		"RATES_URL=http://" + addr(portRates),
		"PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(portPostgres), "PGUSER=shop", "PGDATABASE=postgres", "PGPASSWORD=" + password,
	}
	with := func(more ...string) []string { return append(append([]string{}, env...), more...) }
	port := func(name string, port int) string { return name + "=" + strconv.Itoa(port) }
	return []container{
		{Name: "rates", QOS: "burstable", cores: 0.5, memory: 128e6, port: portRates,
			args: []string{"/usr/bin/python3", "rates/rates.py"}, env: with(port("PORT", portRates))},
		{Name: "worker-0", QOS: "burstable", cores: 0.5, memory: 512e6, port: portWorker0,
			args: node(96, "worker/server.js"), env: with(port("METRICS_PORT", portWorker0), "REPLICA=0")},
		{Name: "worker-1", QOS: "burstable", cores: 0.5, memory: 512e6, port: portWorker1,
			args: node(96, "worker/server.js"), env: with(port("METRICS_PORT", portWorker1), "REPLICA=1")},
		{Name: "reports", QOS: "burstable", port: portReports,
			args: node(96, "reports/server.js"), env: with(port("METRICS_PORT", portReports)),
			mounts: []mount{{"/spool", "bind", in("spool"), []string{"rbind", "rw", "nosuid", "nodev"}}}},
		{Name: "api", QOS: "burstable", cores: 2, memory: 800e6, port: portAPIMetrics,
			args: node(160, "api/server.js"), env: with(port("PORT", portAPI), port("METRICS_PORT", portAPIMetrics)),
			mounts: []mount{bind(in("media"), "/media")}},
	}
}

func (c container) podPath() string { return filepath.Join("kubepods", c.QOS, "pod"+c.Pod) }
func (c container) path() string    { return filepath.Join(c.podPath(), c.ID) }

// run starts the container. The container keeps running when this command ends.
func (c container) run() error {
	bundle := in("bundle", c.Name)
	if err := makeRootfs(filepath.Join(bundle, "rootfs")); err != nil {
		return err
	}
	text, err := json.Marshal(c.spec())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(in("log", c.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the container has its own descriptor
	cmd := exec.Command("runc", "--root", in("runc"), "run", "--detach", "--bundle", bundle, c.ID)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("runc run %s: %w (%s)", c.Name, err, log.Name())
	}
	return nil
}

type mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options,omitempty"`
}

func bind(from, to string) mount {
	return mount{to, "bind", from, []string{"rbind", "ro", "nosuid", "nodev"}}
}

// makeRootfs makes a root file system of symlinks into the host's /usr.
func makeRootfs(dir string) error {
	for _, name := range []string{"usr", "proc", "dev", "tmp", "etc", "app", "media", "spool"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	// runc gives a tmpfs the mode of the folder that it covers.
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		if err := os.Symlink("usr/"+name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// spec returns the OCI spec: a process of the user nobody without capabilities, with a
// read-only root, and the host's network because everything is on loopback.
func (c container) spec() map[string]any {
	type object = map[string]any
	return object{
		"ociVersion": "1.0.2",
		"process": object{
			"args": c.args, "cwd": "/app", "noNewPrivileges": true,
			"user":    object{"uid": nobody, "gid": nobody},
			"env":     append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...),
			"rlimits": []object{{"type": "RLIMIT_NOFILE", "soft": openFiles, "hard": openFiles}},
		},
		"root":     object{"path": "rootfs", "readonly": true},
		"hostname": serviceOf(c.Name),
		"mounts": append([]mount{
			{"/proc", "proc", "proc", []string{"nosuid", "noexec", "nodev"}},
			{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "mode=755"}},
			{"/tmp", "tmpfs", "tmpfs", []string{"nosuid", "nodev", "mode=1777"}},
			bind("/usr", "/usr"), bind(in("app"), "/app"),
		}, c.mounts...),
		"linux": object{
			"cgroupsPath": "/" + c.path(),
			"namespaces":  []object{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}},
			"resources":   c.resources(),
		},
	}
}

func (c container) resources() map[string]any {
	resources := map[string]any{}
	if c.cores > 0 {
		resources["cpu"] = map[string]any{"quota": int(c.cores * cfsPeriod), "period": cfsPeriod}
	}
	if c.memory > 0 {
		resources["memory"] = map[string]any{"limit": c.memory}
	}
	return resources
}
