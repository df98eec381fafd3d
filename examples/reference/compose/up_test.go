// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// servers are the images without a Dockerfile in this repository. Programs of Debian
// replace them. The first words are the default command of the image.
var servers = map[string]struct {
	user    string
	program []string
	folders []string
}{
	"nginx":      {"www-data", []string{"nginx", "-e", "/dev/stderr", "-g", "daemon off;"}, []string{"/var/log/nginx"}},
	"redis":      {"redis", nil, nil},
	"postgres":   {"postgres", []string{"sh", "-c", postgres, "postgres"}, []string{"/var/run/postgresql", "/var/lib/postgresql/data"}},
	"rabbitmq":   {"rabbitmq", []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"}, []string{"/var/lib/rabbitmq", "/var/log/rabbitmq"}},
	"prometheus": {"nobody", []string{"prometheus"}, []string{"/prometheus"}},
}

// postgres uses the environment and the folder of scripts as the documentation of the
// image says: the first start makes the database, then the command runs.
const postgres = `set -e
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PGDATA=/var/lib/postgresql/data
printf %s "$POSTGRES_PASSWORD" >/tmp/password
initdb -U "$POSTGRES_USER" -A scram-sha-256 --pwfile /tmp/password -E UTF8 --locale C --no-sync >/dev/null
pg_ctl -s -w -o "-c listen_addresses=''" start
export PGPASSWORD=$POSTGRES_PASSWORD
createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
for f in /docker-entrypoint-initdb.d/*.sql; do psql -q -X -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$f"; done
pg_ctl -s -w stop
echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
exec "$@" -c listen_addresses='*'`

// absent is the service that cannot be started, because no Debian package contains
// Grafana's server.
const absent = "grafana"

// readyWithin is the timeout for a service to become ready, longer than the slowest
// one needs on two busy cores.
const readyWithin = 90 * time.Second

// A container is a service that is being started. Its channels close.
type container struct {
	service
	name           string
	root           *root
	env            []string
	workdir        string
	healthy, ended chan struct{}
	failure        error
	log            string
}

// TestUp starts all services, waits until they are healthy, and queries Prometheus.
func TestUp(t *testing.T) {
	p := readProject(t)
	delete(p.Services, absent)
	all := map[string]*container{}
	for name, s := range p.Services {
		all[name] = &container{service: s, name: name, healthy: make(chan struct{}), ended: make(chan struct{}), log: filepath.Join(work(t), name+".log")}
	}
	ctx, giveUp := context.WithTimeout(t.Context(), readyWithin)
	defer giveUp()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, c := range all {
		wg.Go(func() {
			if err := c.up(ctx, work(t), all); err != nil {
				mu.Lock()
				defer mu.Unlock()
				defer giveUp()
				t.Errorf("%s: %v\n%s", c.name, err, tail(c.log))
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	checkTargets(t, p)
	checkVisitors(t)
	for _, c := range all {
		select {
		case <-c.ended:
			if c.Restart != "on-failure" {
				t.Errorf("%s ended: %v\n%s", c.name, c.failure, tail(c.log))
			}
		default:
		}
	}
}

func tail(file string) string {
	text, _ := os.ReadFile(file)
	return string(text[max(0, len(text)-2000):])
}

// up starts a container when its dependencies are ready, and returns when it is
// healthy. A container without a health check is healthy when it has started, or
// exited successfully.
func (c *container) up(ctx context.Context, work string, all map[string]*container) error {
	for name, on := range c.DependsOn {
		ready := all[name].healthy
		if on.Condition == "service_completed_successfully" {
			ready = all[name].ended
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return fmt.Errorf("%s, on which it depends, is not ready", name)
		}
	}
	args, err := c.prepare(work)
	if err != nil {
		return err
	}
	cmd, err := c.program(args)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		c.failure = cmd.Wait()
		close(c.ended)
	}()
	return c.await(ctx)
}

func (c *container) await(ctx context.Context) error {
	for {
		var err error
		if len(c.Healthcheck.Test) > 0 {
			err = c.check()
		}
		if err == nil && (len(c.Healthcheck.Test) > 0 || c.Restart != "on-failure") {
			close(c.healthy)
			return nil
		}
		select {
		case <-c.ended:
			if c.Restart == "on-failure" && c.failure == nil {
				return nil
			}
			return fmt.Errorf("it ended: %v", c.failure)
		case <-ctx.Done():
			return fmt.Errorf("not healthy: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// check runs the health check of the service.
func (c *container) check() error {
	if c.Healthcheck.Test[0] != "CMD" {
		return fmt.Errorf("this test does not support the health check %q", c.Healthcheck.Test)
	}
	cmd := c.root.command(c.workdir, c.Healthcheck.Test[1:]...)
	cmd.Env = c.env
	output, err := cmd.CombinedOutput()
	return wrap(err, output)
}

// program returns the command to start, with the user of the service or the image.
func (c *container) program(args []string) (*exec.Cmd, error) {
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	if len(c.CapAdd) > 0 {
		args = append([]string{"setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+" + strings.ToLower(strings.Join(c.CapAdd, ",+"))}, args...)
	}
	cmd := c.root.command(c.workdir, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, log, log
	uid, gid, err := ids(c.User)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	return cmd, log.Chown(int(uid), int(gid)) // like the standard output of a container
}

// ids parses 65534:65534, or the name of a user on the host.
func ids(name string) (uid, gid uint32, err error) {
	u, g, numeric := strings.Cut(name, ":")
	if !numeric {
		found, err := user.Lookup(name)
		if err != nil {
			return 0, 0, err
		}
		u, g = found.Uid, found.Gid
	}
	uid64, errU := strconv.ParseUint(u, 10, 32)
	gid64, errG := strconv.ParseUint(g, 10, 32)
	if errU != nil || errG != nil {
		return 0, 0, fmt.Errorf("user %q", name)
	}
	return uint32(uid64), uint32(gid64), nil
}

// prepare makes the root and returns the command line to start in it.
func (c *container) prepare(work string) ([]string, error) {
	img, args, err := c.image(work)
	if err != nil {
		return nil, err
	}
	c.workdir = img.Workdir
	if c.root, err = img.root(filepath.Join(work, "root", c.name)); err != nil {
		return nil, err
	}
	if err := c.mountVolumes(work, img); err != nil {
		return nil, err
	}
	if err := c.root.bind(os.Getenv("COMPOSE_HOSTS"), "/etc/hosts", true); err != nil {
		return nil, err
	}
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
	for _, from := range []map[string]string{img.Env, c.Environment} {
		for name, value := range from {
			env[name] = value
		}
	}
	for name, value := range env {
		c.env = append(c.env, name+"="+value)
	}
	if c.ReadOnly {
		return args, c.root.readOnly()
	}
	return args, nil
}

// image returns the image that TestImages made, or an empty one for a server.
func (c *container) image(work string) (*image, []string, error) {
	dir := filepath.Join(work, "image", strings.ReplaceAll(c.Image, "/", "_"))
	if c.Build == nil {
		name, _, _ := strings.Cut(filepath.Base(c.Image), ":")
		s, ok := servers[name]
		if !ok {
			return nil, nil, fmt.Errorf("no program of Debian replaces %s", c.Image)
		}
		if c.User == "" {
			c.User = s.user
		}
		img := &image{Files: dir, Workdir: "/", base: true}
		for _, folder := range s.folders {
			if err := makeFor(s.user, filepath.Join(dir, folder)); err != nil {
				return nil, nil, err
			}
		}
		return img, append(append([]string{}, s.program...), c.Command...), os.MkdirAll(dir, 0o755)
	}
	text, err := os.ReadFile(dir + ".json")
	if err != nil {
		return nil, nil, err
	}
	var img image
	if err := json.Unmarshal(text, &img); err != nil {
		return nil, nil, err
	}
	img.base = true // for setpriv and Go's files of the host
	if c.User == "" {
		c.User = img.User
	}
	args := c.Command
	if len(args) == 0 {
		args = img.Command
	}
	return &img, append(append([]string{}, img.Entrypoint...), args...), nil
}

func makeFor(owner, dir string) error {
	uid, gid, err := ids(owner)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chown(dir, int(uid), int(gid))
}

// mountVolumes mounts the volumes of the service. A volume has the owner of the folder
// of the image that it covers, as in Docker.
func (c *container) mountVolumes(work string, img *image) error {
	for _, v := range c.Volumes {
		source := v.Source
		if v.Type == "volume" {
			source = filepath.Join(work, "volume", v.Source)
			covered, err := os.Stat(filepath.Join(img.Files, v.Target))
			if err != nil {
				return fmt.Errorf("volume %s: looking up its owner: %w", v.Source, err)
			}
			if err := os.MkdirAll(source, 0o755); err != nil {
				return err
			}
			if owner, ok := covered.Sys().(*syscall.Stat_t); ok {
				if err := os.Chown(source, int(owner.Uid), int(owner.Gid)); err != nil {
					return err
				}
			}
		}
		if err := c.root.bind(source, v.Target, v.ReadOnly && v.Type == "volume"); err != nil {
			return err
		}
	}
	return nil
}

// checkTargets checks that Prometheus reaches every target of its configuration.
func checkTargets(t *testing.T, p project) {
	t.Helper()
	// Each service of the shop, headroom, and Prometheus itself.
	want := 0
	for name, s := range p.Services {
		if name == "prometheus" || s.Build != nil && name != "photographs" {
			want++
		}
	}
	var down []string
	var seen int
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Second) {
		down, seen = nil, 0
		for _, s := range query(t, "up") {
			seen++
			if s.value != 1 {
				down = append(down, s.labels["instance"])
			}
		}
		if seen == want && len(down) == 0 {
			break
		}
	}
	if seen != want || len(down) > 0 {
		t.Errorf("Prometheus has %d targets, want %d; down: %v", seen, want, down)
	}
}

// checkVisitors checks that the requests of visitors succeed.
func checkVisitors(t *testing.T) {
	t.Helper()
	const (
		enough = 200  // five seconds at 40 a second
		few    = 0.01 // on a busy host; with a wrong address all requests of a route would fail
	)
	var came, errors float64
	for deadline := time.Now().Add(30 * time.Second); came < enough && time.Now().Before(deadline); time.Sleep(time.Second) {
		came, errors = sum(query(t, `shop_visitor_seconds_count{route="all"}`)), sum(query(t, `shop_visitor_errors_total{route="all"}`))
	}
	if came < enough || errors > few*came {
		t.Errorf("%v requests and %v errors, want %d requests or more, and at most a share of %v errors", came, errors, enough, few)
	}
	for _, s := range query(t, "shop_visitor_errors_total > 0") {
		t.Logf("%v requests of %s failed", s.value, s.labels["route"])
	}
}

type sample struct {
	labels map[string]string
	value  float64
}

func sum(samples []sample) (total float64) {
	for _, s := range samples {
		total += s.value
	}
	return total
}

// query queries Prometheus.
func query(t *testing.T, expr string) []sample {
	t.Helper()
	resp, err := http.Get("http://127.0.0.1:9090/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var samples []sample
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, sample{r.Metric, value})
	}
	return samples
}
