// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
)

// TestLongTick checks that eBPF, the catalogue and the analyzers use the same bound for
// a long tick.
func TestLongTick(t *testing.T) {
	if longTick.Seconds() != catalog.LongTick {
		t.Errorf("bpf/tick counts ticks of more than %v s as long, the catalogue says %v s", longTick.Seconds(), catalog.LongTick)
	}
	if bound := fmt.Sprintf("%.0f ms", catalog.LongTick*1e3); !strings.Contains(catalog.LongTicks.Help, bound) {
		t.Errorf("the help of %s is %q and does not name %s", catalog.LongTicks.Name, catalog.LongTicks.Help, bound)
	}
}
