// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/headroom-project/headroom/examples/reference/faults"
)

// restartAfter is the delay of a restart: long enough to avoid a tight loop.
const restartAfter = time.Second

// keep restarts containers that have ended, as a kubelet does. It runs in the
// background until down stops it.
func keep(ctx context.Context) error {
	for tick := time.NewTicker(restartAfter); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s, err := readState()
		if err != nil {
			return err
		}
		for n, c := range containers(s.Password) {
			c.ID, c.Pod = s.Containers[n].ID, s.Containers[n].Pod
			if c.running() {
				continue
			}
			fmt.Println("start again:", c.Name)
			if err := s.startAgain(c); err != nil {
				fmt.Println(err)
			}
		}
	}
}

// startAgain restarts a container, and applies the limits of active faults again.
func (s *state) startAgain(c container) error {
	exec.Command("runc", "--root", in("runc"), "delete", "--force", c.ID).Run() //nolint:errcheck // it may be unknown
	if err := os.RemoveAll(in("bundle", c.Name)); err != nil {
		return err
	}
	if err := c.run(); err != nil {
		return err
	}
	for name, level := range s.Faults {
		f, _ := faults.Find(name)
		value, err := f.Unit.Parse(level)
		if err != nil || !c.isOf(f.Limit) {
			continue
		}
		if err := c.lower(f.Limit, value); err != nil {
			return err
		}
	}
	return nil
}

// serviceOf returns the name without the number of the replica.
func serviceOf(name string) string {
	service, _, _ := strings.Cut(name, "-")
	return service
}

// isOf reports whether the limit is that of the container or of its service.
func (c container) isOf(l faults.Limit) bool {
	return l.Container == c.Name || l.Container == serviceOf(c.Name)
}

// keeper returns the service that runs keep with this program.
func keeper() (service, error) {
	self, err := os.Executable()
	return service{
		name: "keeper", user: "root", args: []string{self, "keep"},
		ready: func(context.Context) error { return nil },
	}, err
}
