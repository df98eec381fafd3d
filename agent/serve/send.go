// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An answer is complete and immutable.
type answer struct {
	status  int
	header  http.Header
	body    []byte // compressed with gzip if packed is set
	packed  bool
	size    int // before compression
	etag    string
	holders int // guarded by answers.mu
}

// small is the size below which answers are not compressed.
const small = 1 << 10

var (
	packers   = sync.Pool{New: func() any { w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return w }} // cannot fail: the level is valid
	unpackers = sync.Pool{New: func() any { return new(gzip.Reader) }}
	etagSeed  = maphash.MakeSeed()
)

// A recorder is an http.ResponseWriter that keeps the answer compressed, so that a
// client that asks for it uncompressed takes no more memory than others.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	packer *gzip.Writer // nil while the answer is small
	hash   maphash.Hash
	size   int
	max    int
	full   bool
}

func newRecorder(limit int) *recorder {
	r := &recorder{header: make(http.Header), max: limit}
	r.hash.SetSeed(etagSeed)
	return r
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements io.Writer.
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.full {
		return 0, errLarge
	}
	r.size += len(b)
	_, _ = r.hash.Write(b) // never fails
	if r.packer == nil && r.size <= small {
		return r.body.Write(b)
	}
	if r.packer == nil {
		r.pack()
	}
	n, err := r.packer.Write(b)
	r.full = r.body.Len() > r.max
	return n, err
}

// pack compresses what was written so far and everything after it.
func (r *recorder) pack() {
	head := bytes.Clone(r.body.Bytes())
	r.body.Reset()
	r.packer = packers.Get().(*gzip.Writer)
	r.packer.Reset(&r.body)
	_, _ = r.packer.Write(head) // cannot fail: it writes to a buffer
}

func (r *recorder) answer() (*answer, error) {
	r.WriteHeader(http.StatusOK)
	a := &answer{status: r.status, header: r.header, size: r.size, packed: r.packer != nil}
	if r.packer != nil {
		err := r.packer.Close()
		packers.Put(r.packer)
		if r.full || err != nil {
			return nil, errLarge
		}
	}
	a.body = bytes.Clone(r.body.Bytes()) // without spare capacity
	if a.status == http.StatusOK {
		a.etag = fmt.Sprintf(`W/"%x"`, r.hash.Sum64())
	}
	return a, nil
}

// A transfer sends one answer. Others can cut it short.
type transfer struct {
	mu    sync.Mutex
	to    *http.ResponseController
	ended bool
	isCut bool
}

func newTransfer(w http.ResponseWriter) *transfer {
	return &transfer{to: http.NewResponseController(w)}
}

// cut ends the transfer. A ResponseController must not be used after its handler
// returned.
func (t *transfer) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.isCut = true
	if !t.ended {
		_ = t.to.SetWriteDeadline(time.Unix(1, 0)) // every connection has deadlines
	}
}

// start sets the deadline of the client, unless the transfer was already cut.
func (t *transfer) start(deadline time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isCut {
		_ = t.to.SetWriteDeadline(deadline)
	}
	return !t.isCut
}

func (t *transfer) wasCut() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.isCut
}

func (t *transfer) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// send writes an answer before the client's deadline.
func (s *Server) send(t *transfer, w http.ResponseWriter, r *http.Request, a *answer) {
	deadline := time.Now().Add(s.limits.Send)
	if !t.start(deadline) {
		s.counts.cut.Add(1)
		panic(http.ErrAbortHandler) // the deadline has passed
	}
	err := a.write(w, r)
	if err == nil {
		err = t.to.Flush()
	}
	switch {
	case err == nil:
		return
	case t.wasCut():
		s.counts.cut.Add(1)
	case errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(deadline):
		s.counts.timedOut.Add(1)
		s.log.Warn("answer not read in time", "remote", host(r.RemoteAddr), "path", r.URL.Path, "limit", s.limits.Send)
	}
	panic(http.ErrAbortHandler) // ends the connection, or the stream, without a line in the log
}

func (a *answer) write(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	for name, values := range a.header {
		h[name] = slices.Clone(values) // a.header is shared between responses
	}
	h.Add("Vary", "Accept-Encoding")
	if a.etag != "" {
		h.Set("ETag", a.etag)
		if strings.Contains(r.Header.Get("If-None-Match"), a.etag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	plain := a.packed && !acceptsGzip(r.Header.Get("Accept-Encoding"))
	length := len(a.body)
	if plain {
		length = a.size
	} else if a.packed {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(a.status)
	if r.Method == http.MethodHead {
		return nil
	}
	if !plain {
		_, err := w.Write(a.body)
		return err
	}
	return a.unpack(w)
}

// unpack writes the answer uncompressed, in small pieces.
func (a *answer) unpack(w io.Writer) error {
	reader := unpackers.Get().(*gzip.Reader)
	defer unpackers.Put(reader)
	if err := reader.Reset(bytes.NewReader(a.body)); err != nil {
		return err
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, reader, make([]byte, 8<<10))
	return err
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, parameter, _ := strings.Cut(part, ";")
		if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && name != "*" {
			continue
		}
		_, q, found := strings.Cut(strings.ReplaceAll(parameter, " ", ""), "q=")
		value, err := strconv.ParseFloat(q, 64)
		return !found || err == nil && value > 0
	}
	return false
}
