// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"maps"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

func TestByShape(t *testing.T) {
	for _, tt := range []struct{ was, want map[string]string }{
		{map[string]string{catalog.AttrExecutable: "node", catalog.AttrCommand: "node SECRET", catalog.AttrThreadName: "node"},
			map[string]string{catalog.AttrExecutable: "node", catalog.AttrCommand: "node", catalog.AttrThreadName: "node"}},
		{map[string]string{catalog.AttrThreadName: "celery: SECRET"}, map[string]string{catalog.AttrThreadName: observe.OwnTitle}},
		{map[string]string{catalog.AttrKernelThread: "true", catalog.AttrCommand: "[kworker/0:1]"},
			map[string]string{catalog.AttrKernelThread: "true", catalog.AttrCommand: "[kworker/0:1]"}},
		{nil, nil},
	} {
		got := maps.Clone(tt.was)
		ByShape(got)
		if !maps.Equal(got, tt.want) {
			t.Errorf("ByShape(%v) = %v, want %v", tt.was, got, tt.want)
		}
	}
}
