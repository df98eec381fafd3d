// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/identity"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// A Source yields snapshots of this host or of a recording.
type Source struct {
	Host observe.Host
	Each func(context.Context, func(*observe.Snapshot) error) error
	// rest is the gap that reports, after Each, why a recording could not be read to
	// its end; nil if it could.
	rest *observe.Gap
}

// Live returns a source that observes this host for the duration d, and brokers that
// need a password. With noFrames it does not read the functions of programs.
func Live(d time.Duration, brokers []sampler.Broker, noFrames bool) *Source {
	return &Source{
		Host: host.Describe(),
		Each: func(ctx context.Context, see func(*observe.Snapshot) error) error {
			on := host.New(observe.DefaultLimit)
			on.Brokers = brokers
			on.NoFrames = noFrames
			r := run.Open(run.Options{Samplers: host.Samplers, Host: on})
			if err := r.Observe(ctx, d, see); err != nil {
				return errors.Join(err, r.Close())
			}
			_ = r.Close() // the observation matters more; what is still open is closed when the process ends
			return nil
		},
	}
}

// Replay returns a source of the snapshots of a recording; name is for messages. A
// truncated or damaged recording yields the snapshots before the fault.
func Replay(r io.Reader, name string) (*Source, error) {
	recording, err := archive.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if recording.Header().Names != archive.NamesChecked {
		recording.Rewrite(identity.ByShape)
	}
	from := &Source{Host: recording.Header().Host}
	from.Each = func(ctx context.Context, see func(*observe.Snapshot) error) error {
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
