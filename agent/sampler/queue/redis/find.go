// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"strings"
	"time"
	"unicode"

	client "github.com/redis/go-redis/v9"
)

// A finder finds the keys of a type whose names match a pattern, some at each reading. The
// server counts each key that matches as one that it was asked for.
type finder struct {
	kind, pattern string
	every         time.Duration // between two passes
	cursor        uint64
	next          time.Time // of the next pass
	passed        bool      // whether a pass has ended
	keys          map[string]bool
	more          bool // there are too many
}

func newFinder(kind, pattern string) *finder {
	return &finder{kind: kind, pattern: pattern, every: rescanEvery, keys: make(map[string]bool)}
}

// find looks at the next keys of a pass.
func (f *finder) find(ctx context.Context, db *client.Client) error {
	if f.cursor == 0 && time.Now().Before(f.next) {
		return nil
	}
	for range scans {
		found, cursor, err := db.ScanType(ctx, f.cursor, f.pattern, scanned, f.kind).Result()
		if err != nil {
			return err
		}
		for _, key := range found {
			f.add(key)
		}
		if f.cursor = cursor; cursor == 0 {
			f.next, f.passed = time.Now().Add(f.every), true
			return nil
		}
	}
	return nil
}

// isName reports whether a key or a member of a set may be the name of a queue: one that
// is long, or that people cannot read, was made by a program.
func isName(key string) bool {
	return key != "" && len(key) <= maxName && !strings.ContainsFunc(key, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) })
}

// add adds a key.
func (f *finder) add(key string) {
	if !isName(key) {
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
