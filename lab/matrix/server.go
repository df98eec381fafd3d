// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/contract"
)

// startLimit is how long a server may take to answer: a JVM on a busy machine with
// two cores needs several seconds.
const startLimit = 20 * time.Second

// A server is a started program with all its processes.
type server struct {
	*asks
	site   site
	group  *cgroups.Group
	output outside.Output
	pids   map[int]bool // seen so far
}

// groupPrefix is the parent of the cgroups of servers and neighbours without a limit.
const groupPrefix = "headroom-matrix/"

// newGroup makes a cgroup that is used to kill all processes of a program, including
// daemons. It is only in the v2 hierarchy, where it has no effect on the processes
// of a hybrid host.
func newGroup(name string) (*cgroups.Group, error) {
	return cgroups.New(groupPrefix+name, nil, cgroups.Unified)
}

// newPod makes the cgroup of a container, at a path like those of a kubelet, with
// random IDs instead of a name.
func newPod(string) (*cgroups.Group, error) {
	random := make([]byte, 48)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	id, u := hex.EncodeToString(random[:32]), hex.EncodeToString(random[32:])
	uid := u[:8] + "-" + u[8:12] + "-4" + u[13:16] + "-8" + u[17:20] + "-" + u[20:32]
	return cgroups.New("kubepods/burstable/pod"+uid+"/"+id, nil)
}

// start starts a runtime in a cgroup and waits until it answers. A wrapper is a
// command that runs it, such as taskset.
func start(ctx context.Context, r *runtime, s site, group *cgroups.Group, wrapper []string) (*server, error) {
	srv := &server{site: s, group: group, pids: make(map[int]bool)}
	if r.prepare != nil {
		if err := r.prepare(s); err != nil {
			return srv, err
		}
	}
	for _, line := range r.serve(s) {
		if err := srv.spawn(r, append(wrapper[:len(wrapper):len(wrapper)], line...)); err != nil {
			return srv, err
		}
	}
	return srv, srv.await(ctx, r)
}

func (srv *server) spawn(r *runtime, line []string) error {
	cmd := srv.group.Command(line...)
	cmd.Dir = srv.site.programs
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "HOME="+srv.site.dir)
	if r.env != nil {
		cmd.Env = append(cmd.Env, r.env(srv.site)...)
	}
	cmd.Stdout, cmd.Stderr = &srv.output, &srv.output
	cmd.WaitDelay = time.Second // a daemon may keep the pipes
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", line[0], err)
	}
	go cmd.Wait() // it ends with the cgroup
	return nil
}

// await waits until the server answers ten requests in a row.
func (srv *server) await(ctx context.Context, r *runtime) error {
	ask := r.ask
	if ask == nil {
		ask = httpAsks
	}
	var err error
	row := 0
	for end := time.Now().Add(startLimit); time.Now().Before(end) && ctx.Err() == nil; {
		err = nil
		if srv.asks == nil {
			srv.asks, err = ask(srv.site)
		}
		if err == nil {
			err = srv.light(ctx)
		}
		if err == nil {
			if row++; row == 10 {
				srv.look()
				return nil
			}
			continue
		}
		row = 0
		time.Sleep(100 * time.Millisecond)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%s does not answer after %v: %w\n%s", r.name, startLimit, err, tail(srv.output.String()))
}

// end kills the processes of the server and removes its cgroup.
func (srv *server) end() error {
	err := srv.group.Kill()
	if srv.asks != nil {
		srv.close()
	}
	if err != nil {
		return err
	}
	return srv.group.Delete()
}

// look records the processes of the server.
func (srv *server) look() {
	pids, err := srv.group.Processes()
	if err != nil {
		return
	}
	for _, pid := range pids {
		srv.pids[pid] = true
	}
}

// is reports whether a subject is the server, or a part of it.
func (srv *server) is(s contract.Subject) bool {
	if srv.pids[s.PID] || s.Cgroup != "" && strings.HasPrefix(s.Cgroup, srv.group.Path) {
		return true
	}
	for _, pid := range s.PIDs {
		if srv.pids[pid] {
			return true
		}
	}
	return s.Container != "" && strings.HasPrefix(filepath.Base(srv.group.Path), s.Container) ||
		s.Kind == "listener" && s.Address == srv.site.addr()
}

// neighbours starts busy shells on a core, in a separate cgroup.
func neighbours(n int, wrapper []string) (*server, error) {
	group, err := newGroup("neighbours")
	if err != nil {
		return nil, err
	}
	srv := &server{group: group, pids: make(map[int]bool)}
	for range n {
		line := append(wrapper[:len(wrapper):len(wrapper)], "sh", "-c", "while :; do :; done")
		if err := srv.spawn(&runtime{}, line); err != nil {
			return srv, err
		}
	}
	time.Sleep(100 * time.Millisecond) // until the shells are in the cgroup
	srv.look()
	return srv, nil
}

func tail(text string) string { return text[max(0, len(text)-2000):] }
