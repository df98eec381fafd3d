// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// up starts the shop. If it fails or the user interrupts it, it stops what it started.
func up(ctx context.Context, source string) (err error) {
	if err := checkHost(source); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
		return fmt.Errorf("the shop is running, or a crash left parts of it (%s): make reference-down", dir)
	} else if err != nil {
		return err
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	began := time.Now()
	s := newState()
	if err := s.raise(ctx, source); err != nil {
		return errors.Join(err, s.keepLogs(), s.takeDown())
	}
	fmt.Printf("The shop is up after %.1f s: http://%s/products\n", time.Since(began).Seconds(), addr(portShop))
	fmt.Println("  make reference-load     send requests and print their latencies")
	fmt.Println("  make faults             what can go wrong")
	fmt.Println("  make reference-down     stop it")
	return nil
}

// checkHost returns an error that lists everything that is missing.
func checkHost(source string) error {
	var missing []error
	if os.Geteuid() != 0 {
		missing = append(missing, errors.New("run it as root: it makes cgroups and containers"))
	}
	for _, path := range []string{"/usr/bin/node", "/usr/bin/python3", "/usr/bin/redis-server", "/usr/sbin/nginx", "/usr/bin/epmd", "/usr/lib/rabbitmq/bin/rabbitmq-server"} {
		if !exists(path) {
			missing = append(missing, fmt.Errorf("%s is missing: scripts/deps.sh examples/reference/packages.txt", path))
		}
	}
	if _, err := exec.LookPath("runc"); err != nil {
		missing = append(missing, err)
	}
	if !exists(filepath.Join(source, "node_modules", "express")) {
		missing = append(missing, fmt.Errorf("no node_modules in %s: npm ci", source))
	}
	_, err := unified()
	return errors.Join(append(missing, err)...)
}

func (s *state) raise(ctx context.Context, source string) error {
	if err := s.prepare(source); err != nil {
		return err
	}
	if err := together(
		func() error { return s.start(ctx, redisServer()) },
		func() error { return s.startPostgres(ctx, source) },
		func() error { return errors.Join(s.start(ctx, epmd()), s.start(ctx, rabbit())) },
		makeMedia,
	); err != nil {
		return err
	}
	var starts []func() error
	for _, c := range s.Containers {
		starts = append(starts, func() error {
			if err := c.run(); err != nil {
				return err
			}
			return await(ctx, c.Name, nil, answers(c.port, "/healthz"))
		})
	}
	if err := together(starts...); err != nil {
		return err
	}
	k, err := keeper()
	if err != nil {
		return err
	}
	return errors.Join(s.start(ctx, k), s.start(ctx, nginx()))
}

// together runs all functions concurrently and waits for them.
func together(work ...func() error) error {
	errs := make([]error, len(work))
	var wg sync.WaitGroup
	for n, f := range work {
		wg.Go(func() { errs[n] = f() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// prepare saves the state, and makes the folders of the services.
func (s *state) prepare(source string) error {
	syscall.Umask(0o022)
	s.Containers = containers(s.Password)
	for n := range s.Containers {
		s.Containers[n].ID, s.Containers[n].Pod = randomHex(32), uuid()
	}
	for _, h := range hierarchies() {
		for _, c := range []string{"kubepods", "kubepods/burstable"} {
			if path := filepath.Join(h, c); !exists(path) {
				s.Absent = append(s.Absent, path)
			}
		}
	}
	if err := s.save(); err != nil {
		return err
	}
	for name, owner := range map[string]string{
		"log": "root", "bundle": "root", "media": "root", "nginx": "root", "app": "root", "spool": "nobody",
		"redis": "redis", "postgres": "postgres", "rabbitmq": "rabbitmq",
	} {
		if err := makeDir(in(name), owner); err != nil {
			return err
		}
	}
	for _, name := range []string{"lib", "api", "worker", "reports", "rates", "node_modules"} {
		if err := os.CopyFS(in("app", name), os.DirFS(filepath.Join(source, name))); err != nil {
			return err
		}
	}
	return errors.Join(writeNginxConf(), writeRabbitConf())
}

func makeDir(path, owner string) error {
	c, err := credentialOf(owner)
	if err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	return os.Chown(path, int(c.Uid), int(c.Gid))
}

const (
	photos     = 128
	photoBytes = 1 << 20
)

// makeMedia writes the photographs and drops them from the page cache, so that the
// first read of each is from the disk.
func makeMedia() error {
	photo := make([]byte, photoBytes)
	for n := range photos {
		for i := range photo {
			if i%64 == 0 {
				photo[i] = byte(rand.Uint32())
			}
		}
		if err := writeCold(in("media", fmt.Sprintf("%d.jpg", n)), photo); err != nil {
			return err
		}
	}
	return nil
}

func writeCold(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// keepLogs prints the ends of the logs, which down removes.
func (s *state) keepLogs() error {
	const tail = 2000
	logs, _ := filepath.Glob(in("log", "*.log"))
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil || len(text) == 0 {
			continue
		}
		fmt.Fprintf(os.Stderr, "== %s\n%s\n", filepath.Base(path), text[max(0, len(text)-tail):]) //nolint:errcheck // for a person
	}
	return nil
}
