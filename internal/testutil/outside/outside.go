// SPDX-License-Identifier: Apache-2.0

// Package outside observes a running program from tests: its output and its HTTP
// answers.
package outside

import (
	"io"
	"net/http"
	"strings"
	"sync"
)

// An Output collects the output of a program, and can be read while the program
// writes. The zero Output is empty.
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

// String returns the output so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Get requests a URL and returns the status and the body of the answer. The status
// is 0 if there is no complete answer.
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
