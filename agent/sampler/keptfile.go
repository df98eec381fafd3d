// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxKeptFile limits the size of a file: the counters of 4096 CPUs at
// 200 bytes a line.
const maxKeptFile = 1 << 20

// A KeptFile is a file of the kernel that stays open between readings: opening a file of
// /proc costs more than reading it.
type KeptFile struct {
	f   *os.File
	buf []byte
}

// Keep opens a file that is read repeatedly.
func Keep(path string) (*KeptFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &KeptFile{f: f, buf: make([]byte, 4096)}, nil
}

// Read returns the current content of the file, valid until the next Read. The kernel
// returns a page at a time, so Read continues until the end.
func (k *KeptFile) Read() ([]byte, error) {
	for {
		n, err := k.f.ReadAt(k.buf, 0)
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return nil, Hidden(k.f.Name())
		case errors.Is(err, io.EOF):
			return k.buf[:n], nil
		case err != nil:
			return nil, err
		case len(k.buf) >= maxKeptFile:
			return nil, fmt.Errorf("%s has more than %d bytes", k.f.Name(), maxKeptFile)
		}
		k.buf = make([]byte, 2*len(k.buf))
	}
}

// Close closes the file. A nil KeptFile is closed.
func (k *KeptFile) Close() error {
	if k == nil {
		return nil
	}
	return k.f.Close()
}
