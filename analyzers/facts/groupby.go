// SPDX-License-Identifier: Apache-2.0

package facts

import "iter"

// GroupBy returns values in groups of the same key, such as processes by their owner.
// Groups and values are in order of appearance.
func GroupBy[V any, K comparable](values iter.Seq[V], key func(V) K) [][]V {
	place := make(map[K]int)
	var groups [][]V
	for v := range values {
		k := key(v)
		i, known := place[k]
		if !known {
			i = len(groups)
			place[k] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], v)
	}
	return groups
}
