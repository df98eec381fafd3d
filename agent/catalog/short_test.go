// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"strings"
	"testing"
)

func TestShortNames(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for name, want := range map[string]string{
		id: "0123456789ab", id[1:]: id[1:], strings.ToUpper(id): strings.ToUpper(id), "web": "web", "": "",
		strings.Repeat("a-", 32): strings.Repeat("a-", 32),
	} {
		if got := ShortContainerName(name); got != want {
			t.Errorf("short name of container %q = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"0d39e4f2-6a0c-4d3a-9a52-6a6f7d4c1b11": "0d39e4f2", "0d39e4f26a0c4d3a9a526a6f7d4c1b11": "0d39e4f2",
		"shop-7d4c1b11": "shop-7d4c1b11", "": "",
	} {
		if got := ShortPodName(name); got != want {
			t.Errorf("short name of pod %q = %q, want %q", name, got, want)
		}
	}
	if got := ShortContainerID("abc"); got != "abc" {
		t.Errorf("short ID of abc = %q, want all of it", got)
	}
}
