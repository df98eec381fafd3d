// SPDX-License-Identifier: Apache-2.0

// Package outside is how tests see a running program: by what it writes and what
// it answers.
package outside

import (
	"io"
	"net/http"
	"strings"
	"sync"
)

// An Output collects what a program writes, and may be read meanwhile. The zero
// Output is empty.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String is all of it so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Get asks for a URL, and returns the status of the answer and its body: 0 while
// nobody answers whole.
func Get(url string) (status int, body string) {
	answer, err := http.Get(url)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(text)
}
