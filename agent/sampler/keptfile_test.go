// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestKeptFileGrowsAndShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	write := func(n int) []byte {
		text := bytes.Repeat([]byte("7"), n)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return text
	}
	write(0)
	k, err := Keep(path)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for _, n := range []int{0, 1, 4096, 100_000, 3} {
		want := write(n)
		if got, err := k.Read(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: read %d, %v", n, len(got), err)
		}
	}
	write(maxKeptFile + 1)
	if got, err := k.Read(); err == nil {
		t.Errorf("a file that is too large: read %d bytes and no error", len(got))
	}
}
