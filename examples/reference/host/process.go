// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A service is a server from a Debian package.
type service struct {
	name  string
	user  string // owner of the process
	args  []string
	env   []string
	ready func(context.Context) error
}

// start runs the server in a new session and cgroup, and waits until it is ready.
func (s *state) start(ctx context.Context, v service) error {
	cmd, err := command(v.name, v.user, v.args, v.env)
	if err != nil {
		return err
	}
	cgroup, err := joinCgroup(cmd, v.name)
	if err != nil {
		return err
	}
	defer cgroup.Close() //nolint:errcheck // read only
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", v.name, err)
	}
	startedAt, err := startTime(cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := s.started(startedService{v.name, cmd.Process.Pid, startedAt}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return await(ctx, v.name, ended, v.ready)
}

// command prepares a program with its own log and almost no environment.
func command(name, owner string, args, env []string) (*exec.Cmd, error) {
	credential, err := credentialOf(owner)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(in("log", name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = in()
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}, env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential}
	return cmd, nil
}

func joinCgroup(cmd *exec.Cmd, name string) (*os.File, error) {
	root, err := unified()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, servicesCgroup, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	return f, nil
}

func credentialOf(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// readyWithin is longer than a cold start takes on two cores.
const readyWithin = 50 * time.Second

// await polls until the service is ready or has ended, or the user interrupts.
func await(ctx context.Context, name string, ended <-chan error, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (%s)", name, errors.Join(ctx.Err(), err), in("log", name+".log"))
		case end := <-ended:
			return fmt.Errorf("%s ended at once: %v (%s)", name, end, in("log", name+".log"))
		case <-tick.C:
		}
	}
}

// accepts returns a check that succeeds when a server listens on the port.
func accepts(port int) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr(port))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// answers returns a check that succeeds when a GET succeeds.
func answers(port int, path string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr(port)+path, nil)
		if err != nil {
			return err
		}
		resp, err := (&http.Client{Timeout: 2 * time.Second}).Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // read only
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
}

func addr(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// startTime returns when a process was started, in clock ticks since boot: field 22 of
// its stat, counted after the name, which may contain spaces.
func startTime(pid int) (uint64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	_, rest, _ := cutLast(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0, fmt.Errorf("stat of process %d is truncated", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// alive reports whether the process that was started still runs.
func (s startedService) alive() bool {
	start, err := startTime(s.PID)
	return err == nil && start == s.Start && !zombie(s.PID)
}

func zombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := cutLast(string(text), ") ")
	return err != nil || strings.HasPrefix(rest, "Z")
}
