// SPDX-License-Identifier: Apache-2.0

package cgroupwalk

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func tree(tb testing.TB, paths ...string) string {
	tb.Helper()
	root := tb.TempDir()
	for _, p := range paths {
		if err := os.MkdirAll(filepath.Join(root, p), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

// many returns n paths, with # replaced by a number.
func many(path string, n int) []string {
	all := make([]string, n)
	for i := range n {
		all[i] = strings.ReplaceAll(path, "#", strconv.Itoa(i))
	}
	return all
}

// visits walks the trees and returns the visited paths.
func visits(roots []string, limit int) ([]string, Rest) {
	var got []string
	rest := Walk(roots, limit, func(d *Dir) bool {
		got = append(got, d.Path)
		return true
	})
	return got, rest
}

// TestFair checks that the cgroups of one tenant do not hide those of another, whatever
// their number, names, nesting and place.
func TestFair(t *testing.T) {
	const limit = 100
	victim := "/pods/z/a/b/c/d/e/f"
	for name, crowd := range map[string][]string{
		"children":       many("/pods/a/#", 500),
		"grandchildren":  many("/pods/a/#/x", 500),
		"nested":         many("/pods/a/"+strings.Repeat("d/", 20)+"#", 500),
		"many tenants":   append(many("/pods/a/#", 300), many("/pods/b/#", 300)...),
		"beside the top": many("/a/#", 500),
		"a bush":         many("/pods/a/#/#/#/#", 100),
	} {
		t.Run(name, func(t *testing.T) {
			got, rest := visits([]string{tree(t, append(crowd, victim)...)}, limit)
			if !slices.Contains(got, victim) {
				t.Errorf("%s was not visited, but %v", victim, got)
			}
			if len(got) != limit || rest.Dirs == 0 || rest.Crowded == "" {
				t.Errorf("%d visits, rest %+v, want %d and a rest", len(got), rest, limit)
			}
		})
	}
}

// TestWhole checks that all cgroups within the limit are visited once, parents before
// children, in all trees.
func TestWhole(t *testing.T) {
	paths := append(many("/a/#/x", 30), "/b", "/c/d/e")
	roots := []string{tree(t, paths...), tree(t, paths...)}
	got, rest := visits(roots, 1000)
	if want := 2 * (1 + 1 + 30 + 30 + 1 + 3); len(got) != want || rest != (Rest{}) {
		t.Errorf("%d visits, rest %+v, want %d and no rest", len(got), rest, want)
	}
	for _, p := range []string{"/", "/a/29/x", "/b", "/c/d/e"} {
		if n := len(slices.DeleteFunc(slices.Clone(got), func(q string) bool { return q != p })); n != 2 {
			t.Errorf("%s was visited %d times, want once in each of two trees", p, n)
		}
	}
	if slices.Index(got, "/c/d") > slices.Index(got, "/c/d/e") {
		t.Error("a directory was visited before the one above it")
	}
}

// TestRest checks that the cgroups beyond the limit are counted and their directory is
// named.
func TestRest(t *testing.T) {
	root := tree(t, append(many("/a/b/#", 50), "/c/d")...)
	got, rest := visits([]string{root}, 20)
	if want := 50 - (20 - len([]string{"/", "/a", "/c", "/a/b", "/c/d"})); rest.Dirs != want || rest.Crowded != root+"/a/b" {
		t.Errorf("rest = %+v after %v, want %d in /a/b", rest, got, want)
	}
	if _, rest := visits([]string{root}, 1); rest.Dirs != 2 {
		t.Errorf("rest = %+v of a walk of one directory, want /a and /c", rest)
	}
}

// TestNotBelow checks that the descendants of a cgroup are not listed if visit returns
// false.
func TestNotBelow(t *testing.T) {
	n := 0
	rest := Walk([]string{tree(t, many("/a/#", 10)...)}, 100, func(d *Dir) bool { n++; return d.Depth == 0 })
	if n != 2 || rest.Dirs != 0 {
		t.Errorf("%d visits, rest %+v, want the root and /a", n, rest)
	}
}
