// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"errors"
	"strings"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// gone is how long a consumer of a group has asked for nothing, and holds nothing, when it
// is left out: a group keeps the names of consumers that have ended.
const gone = time.Minute

// readStream returns the queues of a stream, one for each consumer group; nil if it has
// none. Redis counts what a group has read since 7.0, and not after entries that the group
// had not read were deleted.
//
//	XINFO STREAM: entries-added 1200 …
//	XINFO GROUPS: name mailer, consumers 2, pending 3, entries-read 1100, lag 100
//	XINFO CONSUMERS: name a, pending 2, idle 120
func readStream(ctx context.Context, db *client.Client, key string) ([]broker.Queue, error) {
	groups, err := db.XInfoGroups(ctx, key).Result()
	if err != nil || len(groups) == 0 {
		return nil, notKey(err)
	}
	info, err := db.XInfoStream(ctx, key).Result()
	if err != nil {
		return nil, notKey(err)
	}
	var all []broker.Queue
	for _, g := range groups {
		if g.Lag < 0 || g.EntriesRead <= 0 && g.LastDeliveredID != "0-0" {
			continue // not known
		}
		q := broker.Queue{Name: key + "/" + g.Name, Ready: float64(g.Lag), Unacked: float64(g.Pending),
			Counts: map[broker.Part]broker.Counts{"group": {Published: float64(info.EntriesAdded), Delivered: float64(g.EntriesRead), Acked: float64(g.EntriesRead - g.Pending)}}}
		consumers, err := db.XInfoConsumers(ctx, key, g.Name).Result()
		if err != nil {
			return nil, notKey(err)
		}
		for _, c := range consumers {
			if c.Pending > 0 || c.Idle < gone {
				q.Consumers++
				q.Held = append(q.Held, float64(c.Pending))
			}
		}
		all = append(all, q)
	}
	return all, nil
}

// notKey returns nil for the error about a key or a group that was deleted meanwhile, or
// that is of another type.
func notKey(err error) error {
	if errors.Is(err, client.Nil) {
		return nil
	}
	if err != nil && (strings.HasPrefix(err.Error(), "ERR no such key") || strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "WRONGTYPE")) {
		return nil
	}
	return err
}
