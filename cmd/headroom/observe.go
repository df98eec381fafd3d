// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// A source gives snapshots: this host, or a recording of one.
type source struct {
	host observe.Host
	each func(context.Context, func(*observe.Snapshot) error) error
	// rest says why a recording could not be read to its end, after each; nil is
	// for a source that was.
	rest *observe.Gap
}

// live observes this host for a while.
func live(d time.Duration) *source {
	return &source{
		host: host.Describe(),
		each: func(ctx context.Context, see func(*observe.Snapshot) error) error {
			r := run.Open(run.Options{Samplers: host.Samplers, Host: host.New(observe.DefaultLimit)})
			if err := r.Observe(ctx, d, see); err != nil {
				return errors.Join(err, r.Close())
			}
			_ = r.Close() // what was observed is worth more: the end of the process closes the rest
			return nil
		},
	}
}

// replay gives the snapshots of a recording; name is for messages. One that is
// cut off or damaged gives those before the fault.
func replay(r io.Reader, name string) (*source, error) {
	recording, err := archive.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	from := &source{host: recording.Header().Host}
	from.each = func(ctx context.Context, see func(*observe.Snapshot) error) error {
		for ctx.Err() == nil {
			s, err := recording.Next()
			var part *archive.Incomplete
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case errors.As(err, &part) && part.Snapshots > 0:
				gap := part.Gap()
				from.rest = &gap
				return nil
			case err != nil:
				return fmt.Errorf("reading %s: %w", name, err)
			}
			if err := see(s); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	return from, nil
}

// Observations shorter than two steps hold nothing to compare; one longer
// than a day is a mistyped unit, and its window would hide what happened in it.
const (
	minDuration     = 2 * time.Second
	maxDuration     = 24 * time.Hour
	defaultDuration = 30 * time.Second
)

func validDuration(d time.Duration) error {
	switch {
	case d <= 0:
		return fmt.Errorf("--duration %s: a time to observe is longer than nothing (such as 30s)", d)
	case d < minDuration:
		return fmt.Errorf("--duration %s: too short to compare two readings, which are a second apart: take %s or more", d, minDuration)
	case d > maxDuration:
		return fmt.Errorf("--duration %s: longer than %s, take less (such as 5m)", d, maxDuration)
	}
	return nil
}
