// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/headroom-project/headroom/lab/contract"
)

// A build keeps a machine busy while a healthy service runs. A finding about a delay
// of the service is right. A finding about the build is false, because no client
// waits for the build.
type build struct {
	name  string
	needs []string
	// prepare makes the sources in a folder.
	prepare func(dir string) error
	// line is the command line of one build. It is repeated until it is killed.
	line string
}

var builds = []build{
	{name: "make", needs: []string{"make", "gcc"}, prepare: makeSources, line: "make -s -j 4 clean all"},
	{name: "apt", needs: []string{"apt-get"}, prepare: func(string) error { return nil },
		line: "apt-cache gencaches -o Dir::Cache::pkgcache=$PWD/pkgcache.bin -o Dir::Cache::srcpkgcache=$PWD/srcpkgcache.bin && rm -f *.bin && apt-get -s dist-upgrade >/dev/null"},
	{name: "npm", needs: []string{"npm"}, prepare: func(string) error { return nil },
		line: "rm -rf node_modules && npm ci --prefer-offline --no-audit --no-fund --ignore-scripts"},
}

// makeSources writes C sources that keep the compiler busy.
func makeSources(dir string) error {
	const makefile = "SOURCES := $(wildcard *.c)\nall: $(SOURCES:.c=.o)\n%.o: %.c\n\tgcc -O2 -c $< -o $@\nclean:\n\trm -f *.o\n"
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(makefile), 0o644); err != nil {
		return err
	}
	for n := range 40 {
		text := "#include <stdio.h>\n"
		for f := range 150 {
			text += fmt.Sprintf("int f%d_%d(int *a, int n) { int s = 0; for (int i = 0; i < n; i++) s += a[i] * (i ^ %d); printf(\"%%d\", s); return s; }\n", n, f, f)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("part%d.c", n)), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// service is the healthy program that runs during a build, at 30% of its capacity.
const service = "fastify"

// buildJobs returns two observations of each build.
func (l *lab) buildJobs(only []string) ([]job, error) {
	rows, err := find(healthyPrograms, []string{service})
	if err != nil {
		return nil, err
	}
	var jobs []job
	for _, b := range builds {
		if len(only) > 0 && !slices.Contains(only, b.name) {
			continue
		}
		for round := range rounds {
			s := state{
				name: buildState(b.name, round),
				play: func(g *stage) error { return l.beside(g, &b) }, holds: (*stage).buildsRan,
				loop: suffers,
			}
			r := rows[0]
			r.needs = append(slices.Clone(r.needs), b.needs...)
			jobs = append(jobs, job{r.name + "/" + s.name, func(ctx context.Context) cell { return l.run(ctx, &r, &s) }})
		}
	}
	return jobs, nil
}

func buildState(name string, round int) string { return fmt.Sprintf("build-%s-%d", name, round+1) }

// suffers is the right answer during a build: findings about delays of the service
// and about the host, and none about the build.
var suffers = answer{
	also:   []string{runQueue, blockedLoop + "/run-queue", blockedLoop + "/mixed", "event-loop-saturated"},
	ofHost: []string{"host-saturated/cpu", "disk-saturated"},
}

// beside starts the service's load and then the build.
func (l *lab) beside(g *stage, b *build) error {
	if err := g.share(0.3); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(l.dir, "build-")
	if err != nil {
		return err
	}
	if err := b.prepare(dir); err != nil {
		return err
	}
	if b.name == "npm" {
		for _, name := range []string{"package.json", "package-lock.json"} {
			text, err := os.ReadFile(filepath.Join(l.programs, "..", name))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				return err
			}
		}
	}
	group, err := newGroup("build")
	if err != nil {
		return err
	}
	g.others = &server{site: site{dir: dir, programs: dir}, group: group, pids: make(map[int]bool)}
	g.suspects = true
	if err := g.others.spawn(&runtime{}, []string{"sh", "-c", "while :; do " + b.line + " || { sleep 1; echo failed; exit 1; }; done"}); err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // until the build is busy
	return nil
}

// buildsRan checks that the build still runs.
func (g *stage) buildsRan() error {
	if pids, err := g.others.group.Processes(); err != nil || len(pids) == 0 {
		return fmt.Errorf("the build ended: %s", tail(g.others.output.String()))
	}
	return nil
}

// aboutHost reports whether a subject is the host or a part of it.
func aboutHost(s contract.Subject) bool {
	return slices.Contains([]string{"host", "core", "disk", "nic"}, s.Kind)
}
