// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A frames is an HTTP/2 client that can send arbitrary frames.
type frames struct {
	*http2.Framer
	conn *tls.Conn
	next uint32
}

func (s *site) frames(from string) *frames {
	s.t.Helper()
	c := tls.Client(s.dial(from), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // a test's certificate
	_ = c.SetWriteDeadline(time.Now().Add(30 * time.Second))
	if err := c.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != "h2" {
		s.t.Fatalf("the protocol is %q", got)
	}
	f := &frames{Framer: http2.NewFramer(c, c), conn: c, next: 1}
	_, _ = io.WriteString(c, http2.ClientPreface)
	_ = f.WriteSettings()
	_ = f.WriteSettingsAck()
	return f
}

// ask opens a stream with a request for a path.
func (f *frames) ask(path string) (stream uint32, err error) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "127.0.0.1"}, {":path", path}} {
		_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	stream, f.next = f.next, f.next+2
	return stream, f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
}

// TestStreamsUnread checks that the number of streams without flow control credit is
// limited, and that such streams end after a timeout.
func TestStreamsUnread(t *testing.T) {
	t.Parallel()
	l := patient()
	l.Send = 4 * time.Second // a scraper has the same limit
	s := newSite(t, "https", l, tlsStart)
	f := s.frames(attacker)
	resets, refused := 0, 0
	for range 3 * s.limits.Streams {
		if _, err := f.ask("/big"); err != nil {
			t.Fatal(err)
		}
	}
	s.serves(scraper, "/big")
	_ = f.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for resets+refused < 2*s.limits.Streams {
		frame, err := f.ReadFrame()
		if err != nil {
			break // the connection was closed, which is also correct
		}
		if r, ok := frame.(*http2.RSTStreamFrame); ok {
			if r.ErrCode == http2.ErrCodeRefusedStream {
				refused++
			} else {
				resets++
			}
		}
	}
	await(t, "no answer is under way", func() bool { return s.sending.count() == 0 })
	if n := s.renders.Load(); n != 1 {
		t.Errorf("rendered %d times, want once", n)
	}
}

// TestRapidReset checks that a client that resets streams as soon as it opens them is
// disconnected, and that other clients are not affected.
func TestRapidReset(t *testing.T) {
	s := newSite(t, "https", patient(), tlsStart)
	f := s.frames(attacker)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5_000 {
			stream, err := f.ask("/big?q=1")
			if err != nil || f.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
				return
			}
		}
	}()
	for range 10 {
		s.serves(scraper, "/big")
	}
	<-done
	_ = f.conn.Close()
	await(t, "nothing is left", func() bool { return s.sending.count() == 0 && s.answers.querySeats.count() == 0 })
	if n := s.renders.Load(); n > 60 {
		t.Errorf("rendered %d times: more than queries are allowed", n)
	}
}

// TestIdleHTTP2 checks that a connection without streams is closed.
func TestIdleHTTP2(t *testing.T) {
	t.Parallel()
	s := newSite(t, "https", quick(), tlsStart)
	f := s.frames(attacker)
	_ = f.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, f.conn); err != nil && !bytes.Contains([]byte(err.Error()), []byte("reset")) {
		t.Errorf("the connection ended with %v", err)
	}
}
