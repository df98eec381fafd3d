// SPDX-License-Identifier: Apache-2.0

package support

import (
	"crypto/rand"
	"encoding/binary"
)

// Secret returns a new secret for the hashes of bpf/lib/siphash.bpf.h. Without it nobody
// can find what was hashed by trying texts.
func Secret() [2]uint64 {
	var b [16]byte
	_, _ = rand.Read(b[:]) // It never fails: crypto/rand ends the program instead.
	return [2]uint64{binary.NativeEndian.Uint64(b[:8]), binary.NativeEndian.Uint64(b[8:])}
}
