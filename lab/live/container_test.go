// SPDX-License-Identifier: Apache-2.0

package live

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A container is run by runc, in a cgroup with a path like those of a kubelet.
type container struct {
	*process
	id, pod         string
	group, podGroup *cgroups.Group
}

// kubepods is where a kubelet with the cgroupfs driver puts its pods.
const kubepods = "kubepods/burstable"

// runNode runs `node server.js` in a container with a CPU limit in cores, on
// the host's network.
func (l *lab) runNode(t *testing.T, cores float64) *container {
	t.Helper()
	runc, node := need(t, "runc"), need(t, "node")
	modules, app := nodeModules(t), l.nodeApp(t)
	c := newContainer(t, nil)
	bundle := filepath.Join(l.dir, l.scenario, "bundle")
	makeRootfs(t, filepath.Join(bundle, "rootfs"))
	os.Remove(filepath.Join(app, "node_modules"))
	outside.Must(t, os.MkdirAll(filepath.Join(app, "node_modules"), 0o755))
	spec := ociSpec(c.path(), []string{node, "server.js"}, cores, []mount{
		bind("/usr", "/usr"), bind(app, "/app"), bind(modules, "/app/node_modules"),
	})
	text, err := json.Marshal(spec)
	outside.Must(t, err)
	outside.Must(t, os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o644))
	c.process = runDetached(t, runc, filepath.Join(l.dir, l.scenario), bundle, c.id)
	c.openGroup(t)
	return c
}

// newContainer makes the cgroup of a pod with its limits, as a kubelet does, for one
// container.
func newContainer(t *testing.T, podLimits *specs.LinuxResources) *container {
	t.Helper()
	c := &container{id: randomHex(t, 32), pod: uuid(t)}
	c.podGroup = newGroup(t, kubepods+"/pod"+c.pod, podLimits)
	return c
}

// path returns the path of the container's cgroup, which runc makes.
func (c *container) path() string { return c.podGroup.Path + "/" + c.id }

// openGroup opens the container's cgroup. runc makes it and removes it.
func (c *container) openGroup(t *testing.T) {
	t.Helper()
	var err error
	c.group, err = cgroups.New(c.path(), nil, cgroups.CPU, cgroups.Memory)
	outside.Must(t, err)
}

// newGroup makes a cgroup, and deletes it with the scenario.
func newGroup(t *testing.T, path string, limits *specs.LinuxResources, controllers ...cgroups.Controller) *cgroups.Group {
	t.Helper()
	g, err := cgroups.New(path, limits, controllers...)
	outside.Must(t, err)
	t.Cleanup(func() { outside.Must(t, g.Delete()) })
	return g
}

// runDetached runs a bundle, and deletes its container with the scenario.
func runDetached(t *testing.T, runc, dir, bundle, id string) *process {
	t.Helper()
	state, pidFile := filepath.Join(dir, "runc"), filepath.Join(dir, "pid")
	log, err := os.Create(filepath.Join(dir, "log"))
	outside.Must(t, err)
	defer log.Close()
	cmd := exec.Command(runc, "--root", state, "run", "--detach", "--bundle", bundle, "--pid-file", pidFile, id)
	cmd.Stdout, cmd.Stderr = log, log
	t.Cleanup(func() {
		exec.Command(runc, "--root", state, "delete", "--force", id).Run()
		if text, _ := os.ReadFile(log.Name()); t.Failed() && len(text) > 0 {
			t.Logf("output of the container:\n%s", text)
		}
	})
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("runc run: %v\n%s", err, text)
	}
	text, err := os.ReadFile(pidFile)
	outside.Must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	outside.Must(t, err)
	p := &process{pid: pid}
	outside.Eventually(t, startLimit, "a container that listens", func() bool {
		text, _ := os.ReadFile(log.Name())
		p.addr = listening(strings.NewReader(string(text)))
		return p.addr != ""
	})
	return p
}

// throttled returns how long the container was throttled so far.
func (c *container) throttled(t *testing.T) time.Duration {
	t.Helper()
	d, err := c.group.Throttled()
	outside.Must(t, err)
	return d
}

type mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options,omitempty"`
}

func bind(from, to string) mount {
	return mount{to, "bind", from, []string{"rbind", "ro"}}
}

// makeRootfs makes a root file system of symlinks into the host's /usr.
func makeRootfs(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"usr", "proc", "dev", "tmp", "etc", "app"} {
		outside.Must(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		outside.Must(t, os.Symlink("usr/"+name, filepath.Join(dir, name)))
	}
}

// ociSpec returns a minimal OCI spec. It has no network namespace: the server
// listens on the host's loopback.
func ociSpec(cgroup string, args []string, cores float64, mounts []mount) map[string]any {
	type object = map[string]any
	return object{
		"ociVersion": "1.0.2",
		"process": object{
			"args": args, "cwd": "/app",
			"user": object{"uid": 0, "gid": 0},
			"env":  []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		},
		"root":     object{"path": "rootfs", "readonly": true},
		"hostname": "lab",
		"mounts": append([]mount{
			{"/proc", "proc", "proc", nil},
			{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "mode=755"}},
			{"/tmp", "tmpfs", "tmpfs", []string{"nosuid", "nodev"}},
		}, mounts...),
		"linux": object{
			"cgroupsPath": cgroup,
			"namespaces":  []object{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}},
			"resources": object{
				"cpu": cgroups.CPULimit(cores).CPU,
			},
		},
	}
}

func randomHex(t *testing.T, bytes int) string {
	t.Helper()
	b := make([]byte, bytes)
	_, err := rand.Read(b)
	outside.Must(t, err)
	return hex.EncodeToString(b)
}

func uuid(t *testing.T) string {
	t.Helper()
	h := randomHex(t, 16)
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}
