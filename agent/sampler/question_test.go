// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// over is a wait that has ended.
func over() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}

func TestQuestion(t *testing.T) {
	var q Question[int]
	var running sync.WaitGroup
	release := make(chan struct{})
	q.Ask(t.Context(), &running, time.Minute, func(context.Context) (int, error) {
		<-release
		return 7, nil
	})
	if _, ok := q.Take(over()); ok || !q.Pending() || q.Due(time.Now()) {
		t.Error("there is an answer before the server gave one")
	}
	close(release)
	running.Wait()
	if a, ok := q.Take(over()); !ok || a.Value != 7 || a.Err != nil || q.Pending() {
		t.Errorf("answer = %+v, %v, want 7, after the end of the wait, too", a, ok)
	}
	q.Ask(t.Context(), &running, time.Minute, func(context.Context) (int, error) { panic("a bug") })
	running.Wait()
	if a, ok := q.Take(over()); !ok || !errors.Is(a.Err, errInternal) {
		t.Errorf("answer = %+v, %v, want the error of a question that fails", a, ok)
	}
}

// TestDrop checks that what a question uses is ended after its answer, and once.
func TestDrop(t *testing.T) {
	var q Question[int]
	var running sync.WaitGroup
	release, ended := make(chan struct{}), make(chan struct{}, 2)
	q.Ask(t.Context(), &running, time.Minute, func(context.Context) (int, error) {
		<-release
		return 0, nil
	})
	q.Drop(func() { ended <- struct{}{} })
	if len(ended) != 0 || q.Pending() {
		t.Error("the source was ended while it was asked")
	}
	close(release)
	<-ended
	q.Drop(func() { ended <- struct{}{} })
	if len(ended) != 1 {
		t.Error("the source was not ended at once without a question")
	}
}
