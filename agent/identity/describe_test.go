// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"testing"

	"github.com/headroom-project/headroom/agent/patience"
)

func TestSameProgram(t *testing.T) {
	node := patience.FileID{Dev: 1, Ino: 10}
	for _, tt := range []struct {
		child, parent program
		forked, want  bool
	}{
		{program{node, "node", "node srv/server.js"}, program{node, "node", "node server.js"}, false, true},
		{program{node, "node", "node srv/server.js"}, program{node, "node", "node srv/server.js"}, false, true},
		{program{node, "node", "node burn.js"}, program{node, "node", "node server.js"}, false, false},
		{program{node, "node", "node myserver.js"}, program{node, "node", "node server.js"}, false, false},
		{program{node, "node", "node server.js"}, program{node, "node", "node"}, false, false},
		{program{node, "bash", "bash"}, program{node, "bash", "bash run.sh"}, true, true},
		{program{patience.FileID{Dev: 1, Ino: 11}, "node", "node server.js"}, program{node, "node", "node server.js"}, true, false},
		{program{patience.FileID{}, "nginx", "nginx: worker process"}, program{patience.FileID{Dev: 1, Ino: 12}, "nginx", "nginx: master process"}, true, true},
	} {
		if got := tt.child.sameAs(tt.parent, tt.forked); got != tt.want {
			t.Errorf("%+v is %+v = %v, want %v", tt.child, tt.parent, got, tt.want)
		}
	}
}
