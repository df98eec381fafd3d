// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// interruptible returns a context that ends at the first signal, so that what was
// observed so far is reported; the second signal quits.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// completion is the time limit after the first signal for reporting and saving. A
// last reading may take two seconds.
const completion = 5 * time.Second

var (
	errInterrupted = errors.New("interrupted")
	errUnfinished  = errors.New("interrupted: reporting what was observed took longer than " + completion.String())
)

// untilInterrupted runs do, and returns some time after the first signal even if do
// hangs: opening a FIFO, or reading and writing files on a disk that does not
// answer, cannot be cancelled.
func untilInterrupted(wait time.Duration, do func(context.Context) error) error {
	ctx, stop := interruptible()
	defer stop()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	if wait == 0 {
		return errInterrupted
	}
	select {
	case err := <-done:
		return err
	case <-time.After(wait):
		return errUnfinished
	}
}
