// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"

	"k8s.io/client-go/tools/cache"
)

// A store receives the Pods of a Reflector. It trims them on arrival, so that
// nothing else is kept.
type store struct{ pods *Pods }

var _ cache.ReflectorStore = store{}

// Add implements cache.ReflectorStore.
func (s store) Add(obj any) error { return s.Update(obj) }

// Update implements cache.ReflectorStore.
func (s store) Update(obj any) error {
	p, ok := obj.(*Pod)
	if !ok {
		return fmt.Errorf("a watch of pods sent a %T", obj)
	}
	kept := trim(p)
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	s.pods.put(kept)
	return nil
}

// Delete implements cache.ReflectorStore.
func (s store) Delete(obj any) error {
	p, ok := obj.(*Pod)
	if !ok {
		return fmt.Errorf("a watch of pods sent a %T", obj)
	}
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	s.pods.remove(trim(p))
	return nil
}

// Replace implements cache.ReflectorStore.
func (s store) Replace(objs []any, _ string) error {
	all := make([]*pod, 0, len(objs))
	for _, obj := range objs {
		p, ok := obj.(*Pod)
		if !ok {
			return fmt.Errorf("a list of pods has a %T", obj)
		}
		all = append(all, trim(p))
	}
	s.pods.replace(all)
	return nil
}

// Resync implements cache.ReflectorStore. Pods that did not change need no
// processing.
func (store) Resync() error { return nil }
