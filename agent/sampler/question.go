// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Question asks a server in a goroutine of its own, one question at a time, so that a
// server that is slow or hangs delays nothing. The zero value is ready. Its methods are
// for one goroutine.
type Question[T any] struct {
	// Asked is when the last question began, and Next when the next one is due.
	Asked, Next time.Time
	pending     bool
	answers     chan Answer[T]
}

// An Answer is the result of a question.
type Answer[T any] struct {
	Value T
	Err   error
	Took  time.Duration
}

var errInternal = errors.New("internal error")

// Pending reports whether a question has no answer yet.
func (q *Question[T]) Pending() bool { return q.pending }

// Due reports whether it is time for the next question.
func (q *Question[T]) Due(now time.Time) bool { return !q.pending && !now.Before(q.Next) }

// Ask begins a question, which ends at its deadline. running waits for it.
func (q *Question[T]) Ask(ctx context.Context, running *sync.WaitGroup, deadline time.Duration, ask func(context.Context) (T, error)) {
	if q.answers == nil {
		q.answers = make(chan Answer[T], 1)
	}
	q.pending, q.Asked = true, time.Now()
	answers := q.answers
	running.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		began := time.Now()
		a := Answer[T]{Err: errInternal}
		defer func() {
			if p := recover(); p != nil {
				a.Err = fmt.Errorf("%w: %v", errInternal, p)
			}
			answers <- a
		}()
		a.Value, a.Err = ask(ctx)
		a.Took = time.Since(began)
	})
}

// Take returns the answer, if there is one before the end of wait.
func (q *Question[T]) Take(wait <-chan time.Time) (a Answer[T], ok bool) {
	if !q.pending {
		return a, false
	}
	select {
	case a = <-q.answers: // also after the end of wait
	default:
		select {
		case a = <-q.answers:
		case <-wait:
			return a, false
		}
	}
	q.pending = false
	return a, true
}

// Drop calls end when no question uses what it ends: at once, or after the answer to the
// one that is pending, which is not taken.
func (q *Question[T]) Drop(end func()) {
	if !q.pending {
		end()
		return
	}
	answers := q.answers
	q.pending, q.answers = false, nil
	go func() {
		<-answers
		end()
	}()
}
