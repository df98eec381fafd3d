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
	// pool is true if each request is served in a separate worker. Otherwise one
	// event loop serves all clients, and a blocked loop delays all of them.
	pool bool
	// needs are required commands, or files if they start with a slash. If one is
	// missing, the runtime is reported as not run. The prefix PACKAGE: names the
	// Debian package.
	needs []string
	// onCPU are verbs that are right for its long ticks on the CPU, in addition to
	// cpuVerbs.
	onCPU []string
	// prepare builds the program or writes its config, in the folder of the site.
	prepare func(site) error
	// serve returns the command lines of the server, which listens on the port of
	// the site. They run in the folder of the programs.
	serve func(site) [][]string
	env   func(site) []string
	// ask returns requests that are answered immediately (light), use CPU time (burn)
	// or block. If ask is nil, these are the HTTP routes /, /burn?ms= and /block?ms=.
	ask func(site) (*asks, error)
}

// A site has the folders and the port of a program.
type site struct {
	dir      string // temporary folder of this program
	programs string // lab/programs/matrix
	modules  string // node_modules of the matrix
	port     int
}

func (s site) addr() string        { return "127.0.0.1:" + s.portText() }
func (s site) portText() string    { return strconv.Itoa(s.port) }
func (s site) bin(n string) string { return filepath.Join(s.modules, ".bin", n) }

// asks are the requests that a program supports. The argument is in milliseconds. A
// healthy program supports only light.
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

// lacks returns a message about the first need that is not installed, or "".
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

// fill writes copies of config files of the programs, with the port and the
// folders of the site filled in.
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
