// SPDX-License-Identifier: Apache-2.0

package sampler

import "testing"

func TestOneLongPieceOfWorkInATick(t *testing.T) {
	var h Host
	if !h.Turn(0) || !h.Turn(longWork-1) {
		t.Error("short work was refused")
	}
	if !h.Turn(longWork) {
		t.Error("the first long piece was refused")
	}
	if h.Turn(longWork) {
		t.Error("a second long piece was let into the same tick")
	}
	if !h.Turn(0) {
		t.Error("short work was refused beside a long piece")
	}
	h.turns.last = h.turns.last.Add(-turnEvery)
	if !h.Turn(longWork) {
		t.Error("a long piece was refused in the next tick")
	}
}
