// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"strings"
	"time"
	"unicode"

	client "github.com/redis/go-redis/v9"
)

// A finder finds the keys of a type whose names have an ending, some at each reading.
type finder struct {
	kind, ending string
	cursor       uint64
	next         time.Time // of the next pass
	keys         map[string]bool
	more         bool // there are too many
}

func newFinder(kind, ending string) *finder {
	return &finder{kind: kind, ending: ending, keys: make(map[string]bool)}
}

// find looks at the next keys of a pass.
func (f *finder) find(ctx context.Context, db *client.Client) error {
	if f.cursor == 0 && time.Now().Before(f.next) {
		return nil
	}
	for range scans {
		found, cursor, err := db.ScanType(ctx, f.cursor, "*"+f.ending, scanned, f.kind).Result()
		if err != nil {
			return err
		}
		for _, key := range found {
			f.add(key)
		}
		if f.cursor = cursor; cursor == 0 {
			f.next = time.Now().Add(rescanEvery)
			return nil
		}
	}
	return nil
}

// add adds a key. One that is long, or that people cannot read, is no name that somebody
// gave to a queue.
func (f *finder) add(key string) {
	if len(key) > maxName || strings.ContainsFunc(key, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return
	}
	if !f.keys[key] && len(f.keys) >= maxQueues {
		f.more = true
		return
	}
	f.keys[key] = true
}

// missed forgets a key that is no queue. The next pass finds it again if it becomes one.
func (f *finder) missed(key string) { delete(f.keys, key) }
