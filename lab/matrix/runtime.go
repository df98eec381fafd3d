// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/lab/traffic"
)

// A runtime is one row of the matrix.
type runtime struct {
	name string
	// pool is set if each request is served in a worker of its own. Otherwise one
	// thread, an event loop, serves all clients: what blocks it blocks them all.
	pool bool
	// needs are commands, and files if they start with a slash. A runtime that lacks
	// one is reported as not run. PACKAGE: in front names the Debian package.
	needs []string
	// onCPU are verbs that are right for its long ticks on the CPU, besides cpuVerbs.
	onCPU []string
	// prepare builds the program or writes its config, in the folder of the site.
	prepare func(site) error
	// serve returns the command lines that serve at the port of the site, from the
	// folder of the programs.
	serve func(site) [][]string
	env   func(site) []string
	// ask returns requests that answer at once (light), take CPU time or block. Without
	// it these are the HTTP routes /, /burn?ms= and /block?ms=.
	ask func(site) (*asks, error)
}

// A site is where a program runs.
type site struct {
	dir      string // its own, temporary
	programs string // lab/programs/matrix
	modules  string // node_modules of the matrix
	port     int
}

func (s site) addr() string        { return "127.0.0.1:" + s.portText() }
func (s site) portText() string    { return strconv.Itoa(s.port) }
func (s site) bin(n string) string { return filepath.Join(s.modules, ".bin", n) }

// asks are the requests that a program understands. The argument is in milliseconds.
// A healthy program understands only light.
type asks struct {
	light       traffic.Ask
	burn, block func(ms int) traffic.Ask
	close       func()
}

func httpAsks(s site) (*asks, error) {
	route := func(name string) func(int) traffic.Ask {
		return func(ms int) traffic.Ask {
			return traffic.HTTP(fmt.Sprintf("http://%s/%s?ms=%d", s.addr(), name, ms))
		}
	}
	return &asks{light: traffic.HTTP("http://" + s.addr() + "/"), burn: route("burn"), block: route("block"), close: func() {}}, nil
}

// lacks returns what is not installed, or "".
func lacks(needs []string) string {
	for _, need := range needs {
		pkg, what, ok := strings.Cut(need, ":")
		if !ok {
			pkg, what = need, need
		}
		var err error
		if strings.HasPrefix(what, "/") {
			_, err = os.Stat(what)
		} else {
			_, err = exec.LookPath(what)
		}
		if err != nil {
			return fmt.Sprintf("%s is not installed (apt-get install %s)", what, pkg)
		}
	}
	return ""
}

// fill writes a copy of a config file of the programs, with the site filled in.
func fill(s site, names ...string) error {
	var failed error
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(s.programs, name))
		if err != nil {
			return err
		}
		filled := strings.NewReplacer("@PORT@", s.portText(), "@DIR@", s.dir, "@PROGRAMS@", s.programs).Replace(string(text))
		failed = errors.Join(failed, os.WriteFile(filepath.Join(s.dir, filepath.Base(name)), []byte(filled), 0o644))
	}
	return failed
}

// compile runs a compiler in the folder of the programs.
func compile(s site, line ...string) error {
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = s.programs
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, output)
	}
	return nil
}

func one(line ...string) [][]string { return [][]string{line} }
