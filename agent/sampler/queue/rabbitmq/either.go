// SPDX-License-Identifier: Apache-2.0

package rabbitmq

import (
	"context"
	"time"

	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// either reads the plugin, and the management API while the plugin does not answer.
type either struct {
	plugin *source
	api    *api
	retry  time.Time // of the plugin
}

// retryEvery is the time between two questions to a plugin that does not answer.
const retryEvery = time.Minute

func (e *either) Address() broker.Address { return e.plugin.Address() }

func (e *either) Close() {
	e.plugin.Close()
	e.api.Close()
}

// Read implements broker.Source. The error is that of the API: it needs no change of the
// broker, and the config shows that it is wanted.
func (e *either) Read(ctx context.Context) (broker.Reading, error) {
	if now := time.Now(); !now.Before(e.retry) {
		r, err := e.plugin.Read(ctx)
		if err == nil {
			return r, nil
		}
		e.retry = now.Add(retryEvery)
	}
	r, err := e.api.Read(ctx)
	if err != nil {
		e.retry = time.Time{} // whichever is back first
	}
	return r, err
}
