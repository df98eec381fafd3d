// SPDX-License-Identifier: Apache-2.0

package rediskeys

import (
	"fmt"
	"io"
	"math/bits"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// resp returns a command as clients send it.
func resp(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

// A peer is a connection to this process, which receives what it is told to send. The
// probe watches this process.
type peer struct {
	t              *testing.T
	p              *Probe
	client, server net.Conn
}

func connect(t *testing.T, p *Probe) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	outside.Must(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	outside.Must(t, err)
	server, err := l.Accept()
	outside.Must(t, err)
	t.Cleanup(func() { client.Close(); server.Close() })
	return &peer{t, p, client, server}
}

// send sends each part when the one before was received.
func (c *peer) send(parts ...string) {
	c.t.Helper()
	for _, part := range parts {
		if _, err := io.WriteString(c.client, part); err != nil {
			c.t.Fatal(err)
		}
		if _, err := io.ReadFull(c.server, make([]byte, len(part))); err != nil {
			c.t.Fatal(err)
		}
	}
}

func watching(t *testing.T) *Probe {
	t.Helper()
	p := open(t)
	if ok, err := p.Watch(os.Getpid()); err != nil || !ok {
		t.Fatal(ok, err)
	}
	return p
}

func (c *peer) accesses() (all []Access) {
	c.t.Helper()
	if err := c.p.Read(func(a Access) { all = append(all, a) }); err != nil {
		c.t.Fatal(err)
	}
	return all
}

func (c *peer) want(name string, want Server) {
	c.t.Helper()
	got, err := c.p.Server(os.Getpid())
	if err != nil {
		c.t.Fatal(err)
	}
	if got != want {
		c.t.Errorf("%s: %+v, want %+v", name, got, want)
	}
}

// TestGuestCommands checks which keys commands access, and that the same key always has
// the same hash.
func TestGuestCommands(t *testing.T) {
	c := connect(t, watching(t))
	c.send(resp("SET", "user:1", "some value"))
	c.send(resp("get", "user:1") + resp("MGET", "user:2", "user:1") + resp("PING"))
	c.send(resp("mset", "user:3", "user:1", "user:2", "user:1"), resp("EXPIRE", "user:1", "10"), resp("DEL", "user:1", "user:2"))
	c.send(resp("select", "1"), resp("GET", "user:1"), resp("SELECT", "0"), resp("GET", "user:1"), resp("FLUSHALL"))
	all := c.accesses()
	kinds := []Kind{Write, Read, Read, Read, Write, Write, Write, Delete, Delete, Read, Read, Flush}
	keys := []int{1, 1, 2, 1, 3, 2, 1, 1, 2, 101, 1, 0}
	if len(all) != len(kinds) {
		t.Fatalf("%d accesses, want %d: %v", len(all), len(kinds), all)
	}
	hashes := make(map[int]uint64)
	for i, a := range all {
		if a.Kind != kinds[i] || a.Tgid != os.Getpid() {
			t.Errorf("access %d = %+v, want kind %d", i, a, kinds[i])
		}
		if known, ok := hashes[keys[i]]; ok && known != a.Hash {
			t.Errorf("access %d: the hash of a key changed", i)
		}
		hashes[keys[i]] = a.Hash
	}
	if distinct := slices.Sorted(func(yield func(uint64) bool) {
		for _, h := range hashes {
			if !yield(h) {
				return
			}
		}
	}); len(slices.Compact(distinct)) != len(hashes) {
		t.Errorf("%d hashes, want %d", len(distinct), len(hashes))
	}
	c.want("all", Server{Reads: 5, Writes: 6})
}

// TestGuestTransactions checks that keys of a transaction that does not run count as not
// known, too.
func TestGuestTransactions(t *testing.T) {
	c := connect(t, watching(t))
	c.send(resp("MULTI")+resp("GET", "user:1")+resp("SET", "user:2", "x"), resp("EXEC"))
	c.want("EXEC", Server{Reads: 1, Writes: 1})
	c.send(resp("WATCH", "user:1"), resp("multi"), resp("MGET", "user:1", "user:2")+resp("DISCARD"), resp("GET", "user:1"), resp("DISCARD"))
	c.want("DISCARD", Server{Reads: 4, Writes: 1, Uncounted: 2})
}

// TestGuestParts checks commands that arrive in parts: cut at every byte, once.
func TestGuestParts(t *testing.T) {
	c := connect(t, watching(t))
	commands := resp("GET", "a key") + resp("SET", "other", "*2\r\n$3\r\nGET\r\n$1\r\nx\r\n") + resp("GET", "other")
	for cut := 1; cut < len(commands); cut++ {
		c.send(commands[:cut], commands[cut:])
	}
	s, err := c.p.Server(os.Getpid())
	outside.Must(t, err)
	// A name or a key that is cut, or that the first part ends before, is not counted:
	// three names of three bytes, three keys of five.
	cuts := len(commands) - 1
	names, keys := 3*3, 3*5
	got := s.Reads + s.Writes
	if want := uint64(3*cuts - names - keys); got != want || s.Uncounted != uint64(names+keys) {
		t.Errorf("%d keys counted and %d not, want %d and %d", got, s.Uncounted, want, names+keys)
	}
	c.send(commands)
	seen := make(map[uint64]bool)
	for _, a := range c.accesses() {
		seen[a.Hash] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d different keys, want 2", len(seen))
	}
}

// TestGuestOtherBytes checks what is no command, keys that are too long, and large values.
func TestGuestOtherBytes(t *testing.T) {
	p := watching(t)
	for name, bytes := range map[string]string{
		"TLS":             "\x16\x03\x01\x02\x00\x01\x00",
		"inline":          "GET user:1\r\n",
		"unknown command": resp("NOSUCH", "user:1"),
		"long name":       resp("AVERYLONGCOMMANDNAME", "user:1"),
		"long key":        resp("GET", strings.Repeat("k", maxKey+1)),
		"script":          resp("EVAL", "return 1", "1", "user:1"),
		"no number":       "*x\r\n",
		"too many":        "*99999999999\r\n",
		"too large":       "*2\r\n$3\r\nGET\r\n$99999999999\r\n",
	} {
		before, err := p.Server(os.Getpid())
		outside.Must(t, err)
		c := connect(t, p)
		c.send(bytes)
		before.Uncounted++
		c.want(name, before)
		c.send(resp("GET", "user:1")) // the next reception is understood
		before.Reads++
		c.want(name+", then GET", before)
	}
	c := connect(t, p)
	before, err := p.Server(os.Getpid())
	outside.Must(t, err)
	c.send(resp("SET", "user:1", strings.Repeat("*2\r\n", 100_000)) + resp("GET", strings.Repeat("k", maxKey)))
	before.Reads++
	before.Writes++
	c.want("large value", before)
}

// maxKey is MAX_KEY in C.
const maxKey = 256

// TestGuestPipeline checks that all commands of one reception are counted.
func TestGuestPipeline(t *testing.T) {
	c := connect(t, watching(t))
	const n = 300
	var b strings.Builder
	for i := range n {
		b.WriteString(resp("GET", "k"+strconv.Itoa(i)))
	}
	c.send(b.String())
	if got := len(c.accesses()); got != n {
		t.Errorf("%d accesses, want %d", got, n)
	}
	c.want("pipeline", Server{Reads: n})
}

// TestGuestSample checks that only keys below the threshold leave the kernel.
func TestGuestSample(t *testing.T) {
	c := connect(t, watching(t))
	outside.Must(t, c.p.Sample(os.Getpid(), 1<<62))
	const n = 4000
	for i := range n {
		c.send(resp("GET", "k"+strconv.Itoa(i)))
	}
	all := c.accesses()
	for _, a := range all {
		if a.Hash >= 1<<62 {
			t.Fatalf("hash %x is not in the sample", a.Hash)
		}
	}
	// Six standard deviations around a quarter.
	if len(all) < n/4-165 || len(all) > n/4+165 {
		t.Errorf("%d accesses of %d, want about a quarter", len(all), n)
	}
	c.want("all", Server{Reads: n})
}

// TestGuestUnwatched checks that nothing is counted, and the program is detached, when no
// process is watched.
func TestGuestUnwatched(t *testing.T) {
	c := connect(t, watching(t))
	outside.Must(t, c.p.Unwatch(os.Getpid()))
	if c.p.link != nil {
		t.Error("the program is still attached")
	}
	c.send(resp("GET", "user:1"))
	if all := c.accesses(); len(all) != 0 {
		t.Errorf("%d accesses, want none", len(all))
	}
	for tgid := range maxServers {
		if ok, err := c.p.Watch(1<<30 + tgid); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if ok, err := c.p.Watch(os.Getpid()); ok || err != nil {
		t.Errorf("watches %d processes, want %d: %v", maxServers+1, maxServers, err)
	}
}

// TestGuestFull checks that what is dropped is counted.
func TestGuestFull(t *testing.T) {
	c := connect(t, watching(t))
	many := strings.Repeat(resp("GET", "k"), 600)
	sent := 0
	for range c.p.events.BufferSize() / 24 / 600 * 2 {
		c.send(many)
		sent += 600
	}
	s, err := c.p.Server(os.Getpid())
	outside.Must(t, err)
	if got := len(c.accesses()); s.Lost == 0 || got+int(s.Lost) != sent || s.Reads != uint64(sent) {
		t.Errorf("%d accesses, %+v, want %d", got, s, sent)
	}
}

// TestGuestHash compares the hash with another implementation of SipHash-1-3.
func TestGuestHash(t *testing.T) {
	p := watching(t)
	var secret [2]uint64
	outside.Must(t, p.objs.Variables[rediskeysVarSecret].Get(&secret))
	c := connect(t, p)
	for n := range 40 {
		key := "0123456789abcdef0123456789abcdef0123456789"[:n]
		c.send(resp("GET", key))
		all := c.accesses()
		if want := sipHash13(secret, key); len(all) != 1 || all[0].Hash != want {
			t.Errorf("key of %d bytes: %x, want %x", n, all, want)
		}
	}
	if got := sipHash13([2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}, ""); got != 0xabac0158050fc4dc {
		t.Errorf("SipHash-1-3 of nothing = %x, want the vector of the reference implementation", got)
	}
}

func sipHash13(k [2]uint64, text string) uint64 {
	v := [4]uint64{k[0] ^ 0x736f6d6570736575, k[1] ^ 0x646f72616e646f6d, k[0] ^ 0x6c7967656e657261, k[1] ^ 0x7465646279746573}
	round := func() {
		v[0] += v[1]
		v[2] += v[3]
		v[1], v[3] = bits.RotateLeft64(v[1], 13)^v[0], bits.RotateLeft64(v[3], 16)^v[2]
		v[0] = bits.RotateLeft64(v[0], 32)
		v[2] += v[1]
		v[0] += v[3]
		v[1], v[3] = bits.RotateLeft64(v[1], 17)^v[2], bits.RotateLeft64(v[3], 21)^v[0]
		v[2] = bits.RotateLeft64(v[2], 32)
	}
	padded := append([]byte(text), make([]byte, 8-len(text)%8)...)
	padded[len(padded)-1] = byte(len(text))
	for i := 0; i < len(padded); i += 8 {
		var m uint64
		for j := range 8 {
			m |= uint64(padded[i+j]) << (8 * j)
		}
		v[3] ^= m
		round()
		v[0] ^= m
	}
	v[2] ^= 0xff
	for range 3 {
		round()
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}
