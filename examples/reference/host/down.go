// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// down stops the shop and removes everything that it created, also after a crash.
func down() error {
	if os.Geteuid() != 0 {
		return errors.New("run it as root")
	}
	if !exists(dir) {
		fmt.Println("The shop is not up.")
		return removeServices() // the folder was removed by hand
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := readState()
	if errors.Is(err, os.ErrNotExist) {
		s, err = newState(), nil // up crashed before it started anything
	}
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err := s.takeDown(); err != nil {
		return err
	}
	fmt.Println("The shop is down and has left nothing.")
	return nil
}

// takeDown stops the services that accept requests first, then the workers, then the
// databases. Each gets a few seconds to shut down; then its cgroup is emptied.
func (s *state) takeDown() error {
	s.stop("nginx")
	if err := emptyService("keeper"); err != nil { // including a runc that it may be running
		return err
	}
	var stops []func() error
	for _, c := range s.Containers {
		stops = append(stops, c.delete)
	}
	err := together(stops...)
	var rest []func() error
	for _, v := range s.Services {
		rest = append(rest, func() error { s.stop(v.Name); return nil })
	}
	err = errors.Join(err, together(rest...), removeServices())
	for _, path := range slices.Backward(s.Absent) {
		syscall.Rmdir(path) //nolint:errcheck // it remains if another program uses it
	}
	if err != nil {
		return err // the folder still shows what is left
	}
	return os.RemoveAll(dir)
}

// signals are the signals for a graceful shutdown other than SIGTERM: with SIGTERM
// postgres would wait for its clients, and nginx would drop its connections.
var signals = map[string]syscall.Signal{"postgres": syscall.SIGINT, "nginx": syscall.SIGQUIT}

// stopWithin is the timeout for a graceful shutdown.
const stopWithin = 5 * time.Second

// stop signals a server to shut down, and waits. Remaining processes are killed with
// the cgroup.
func (s *state) stop(name string) {
	for _, v := range s.Services {
		if v.Name != name || !v.alive() {
			continue
		}
		signal, ok := signals[name]
		if !ok {
			signal = syscall.SIGTERM
		}
		syscall.Kill(v.PID, signal) //nolint:errcheck // it may be gone
		for deadline := time.Now().Add(stopWithin); v.alive() && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// emptyService kills all processes in a server's cgroup.
func emptyService(name string) error {
	root, err := unified()
	if err != nil {
		return err
	}
	return empty(filepath.Join(root, servicesCgroup, name))
}

// removeServices empties and removes the servers' cgroups.
func removeServices() error {
	root, err := unified()
	if err != nil {
		return err
	}
	path := filepath.Join(root, servicesCgroup)
	if !exists(path) {
		return nil
	}
	return errors.Join(empty(path), remove(path))
}

// delete stops a container gracefully, and removes it from runc and its cgroups from
// all hierarchies.
func (c container) delete() error {
	runc := func(args ...string) { exec.Command("runc", append([]string{"--root", in("runc")}, args...)...).Run() } //nolint:errcheck // runc may not know it any more
	if c.running() {
		runc("kill", c.ID, "TERM")
		for deadline := time.Now().Add(stopWithin); c.running() && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
	}
	runc("delete", "--force", c.ID)
	var errs []error
	for _, h := range hierarchies() {
		pod := filepath.Join(h, c.podPath())
		errs = append(errs, empty(pod), remove(pod))
	}
	return errors.Join(errs...)
}

func (c container) running() bool {
	for _, h := range hierarchies() {
		if len(pidsIn(filepath.Join(h, c.path()))) > 0 {
			return true
		}
	}
	return false
}
