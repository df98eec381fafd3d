// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/headroom-project/headroom/lab/traffic"
)

// check starts each program without headroom, and checks that it answers and that
// its burn and block requests take as long as requested. It takes a second per program.
func (l *lab) check(ctx context.Context, only []string) error {
	rows, err := find(slices.Concat(runtimes, healthyPrograms), only)
	if err != nil {
		return err
	}
	var failed error
	for _, r := range rows {
		if lack := lacks(r.needs); lack != "" {
			fmt.Printf("%-16s %s\n", r.name, lack)
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		began := time.Now()
		if err := l.checkOne(ctx, &r); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.name, err))
			fmt.Printf("%-16s FAILED: %v\n", r.name, err)
			continue
		}
		fmt.Printf("%-16s ok, %v\n", r.name, time.Since(began).Round(10*time.Millisecond))
	}
	return failed
}

func (l *lab) checkOne(ctx context.Context, r *runtime) (err error) {
	dir, err := l.siteDir(r)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	srv, err := l.serve(ctx, r, &state{}, dir)
	if srv != nil {
		defer func() { err = errors.Join(err, srv.end()) }()
	}
	isRuntime := slices.ContainsFunc(runtimes, func(row runtime) bool { return row.name == r.name })
	if err != nil || !isRuntime {
		return err
	}
	for name, ask := range map[string]traffic.Ask{"burn": srv.burn(100), "block": srv.block(100)} {
		began := time.Now()
		if err := ask(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if took := time.Since(began); took < 50*time.Millisecond {
			return fmt.Errorf("%s of 100 ms took %v", name, took)
		}
	}
	return nil
}
