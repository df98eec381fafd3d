// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"encoding/binary"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// bindTo returns a Bind with one parameter, which is then run.
func bindTo(name, value string) string {
	parameter := "\x00\x00\x01" + string(binary.BigEndian.AppendUint32(nil, uint32(len(value)))) + value + "\x00"
	return message('B', "", name, parameter) + message('D', "P") + message('E', "\x00\x00\x00\x00") + message('S')
}

// parseTo returns a statement with a parameter, as one send.
func parseTo(text, value string) string {
	return message('P', "", text, "\x00") + bindTo("", value)
}

// all sends messages, and returns the reads of the sample, which is all, and what was
// counted meanwhile.
func (s service) all(t *testing.T, p *Probe, c net.Conn, messages ...string) ([]Read, Reads) {
	t.Helper()
	before := s.calls(t, p)
	outside.Must(t, p.Sample(before.Number, math.MaxUint64))
	for _, m := range messages {
		say(t, c, m, ready)
	}
	return s.found(t, p, before.Reads)
}

func (s service) found(t *testing.T, p *Probe, before Reads) (found []Read, n Reads) {
	t.Helper()
	outside.Must(t, p.ReadReads(func(r Read) { found = append(found, r) }))
	n = s.calls(t, p).Reads
	n.Calls, n.Writes, n.Unclear = n.Calls-before.Calls, n.Writes-before.Writes, n.Unclear-before.Unclear
	return found, n
}

// TestGuestReads checks which calls ask the same.
func TestGuestReads(t *testing.T) { unlessSkipped(t, checkKeys) }

func checkKeys(t *testing.T) (_ *Probe, wrong []string) {
	s, p, c := asker(t)
	const text = "SELECT t FROM o WHERE id = $1"
	for _, same := range [][]string{
		{simple("SELECT t FROM o WHERE id = 42"), simple("SELECT  t FROM o\nWHERE id=42 -- page 1"), simple("/* a */SELECT t FROM o WHERE id = 42")},
		{simple("SELECT t FROM o WHERE a = 'abcdefghijkl' AND b IN (1, 2)"), simple("SELECT t FROM o WHERE a='abcdefghijkl' AND b IN (1,2)")},
		{parseTo(text, "42"), parseTo("SELECT t  FROM o WHERE id = $1", "42")},
	} {
		wrong = append(wrong, again(p, func() []string { return s.different(t, p, c, same, 1) })...)
	}
	for _, different := range [][]string{
		{simple("SELECT t FROM o WHERE id = 42"), simple("SELECT t FROM o WHERE id = 43"), simple("SELECT t FROM o WHERE id = '42'"), simple("SELECT u FROM o WHERE id = 42")},
		{simple("SELECT t FROM o WHERE id IN (1, 2)"), simple("SELECT t FROM o WHERE id IN (12)"), simple("SELECT t FROM o WHERE id IN (1, 2, 3)")},
		{simple("SELECT t FROM o WHERE a = 'abcdefgh'"), simple("SELECT t FROM o WHERE a = 'abcdefgi'"), simple("SELECT t FROM o WHERE a = 'abcdefghabcdefgh'")},
		{simple("SELECT t FROM o WHERE a = $1 AND b = $2"), simple("SELECT t FROM o WHERE a = $2 AND b = $1")},
		{parseTo(text, "42"), parseTo(text, "43"), parseTo(text, "420"), parseTo("SELECT u FROM o WHERE id = $1", "42")},
	} {
		wrong = append(wrong, again(p, func() []string { return s.different(t, p, c, different, len(different)) })...)
	}
	return p, wrong
}

// different sends messages twice, which must have a number of different keys.
func (s service) different(t *testing.T, p *Probe, c net.Conn, messages []string, want int) (wrong []string) {
	t.Helper()
	found, n := s.all(t, p, c, append(messages, messages...)...)
	keys := make(map[uint64]bool)
	for _, r := range found {
		keys[r.Key] = true
		if r.Time <= 0 || r.Time > time.Minute || int(r.Bytes) != len(ready) {
			wrongly(&wrong, "a read of %v and %d bytes, want %d", r.Time, r.Bytes, len(ready))
		}
	}
	if len(found) != 2*len(messages) || int(n.Calls) != len(found) || len(keys) != want {
		wrongly(&wrong, "%q twice: %d in the sample, %d counted, %d different", messages, len(found), n.Calls, len(keys))
	}
	return wrong
}

// TestGuestBound checks parameters of a statement that was prepared before, and messages in
// pieces, as node.js sends them.
func TestGuestBound(t *testing.T) { unlessSkipped(t, checkBound) }

func checkBound(t *testing.T) (_ *Probe, wrong []string) {
	s, p, c := asker(t)
	say(t, c, parse("s1", "SELECT t FROM o WHERE id = $1"), ready)
	found, n := s.all(t, p, c, bindTo("s1", "7"), bindTo("s1", "8"), bindTo("s1", "7"), parseTo("SELECT t FROM o WHERE id = $1", "7"))
	if len(found) != 4 || n.Calls != 4 || found[0].Key != found[2].Key || found[0].Key == found[1].Key {
		wrongly(&wrong, "reads %+v, counted %+v; want the first equal to the third", found, n)
	}
	before := s.calls(t, p).Reads
	for _, value := range []string{"7", "9", "7"} {
		whole := parseTo("SELECT t FROM o WHERE id = $1", value)
		pieces := net.Buffers{[]byte(whole[:40]), []byte(whole[40:60]), []byte(whole[60:])}
		if _, err := pieces.WriteTo(c); err != nil {
			t.Fatal(err)
		}
		outside.Must(t, readAnswer(c))
	}
	found, n = s.found(t, p, before)
	if len(found) != 3 || n.Calls != 3 || found[0].Key != found[2].Key || found[0].Key == found[1].Key {
		wrongly(&wrong, "in pieces: reads %+v, counted %+v; want the first equal to the third", found, n)
	}
	return p, wrong
}

func readAnswer(c net.Conn) error {
	_, err := c.Read(make([]byte, len(ready)))
	return err
}

// TestGuestVersions checks which writes change the version of a read.
func TestGuestVersions(t *testing.T) { unlessSkipped(t, checkVersions) }

func checkVersions(t *testing.T) (_ *Probe, wrong []string) {
	s, p, c := asker(t)
	reads := []string{simple("SELECT 1 FROM t WHERE a = 1"), simple(`SELECT 1 FROM "U" AS v ORDER BY a, b`), simple("SELECT 1 FROM t x JOIN u ON true")}
	for write, changes := range map[string][3]bool{
		"INSERT INTO t VALUES (1)":                              {true, false, true},
		"insert into public.T (a, b) values (1)":                {true, false, true},
		"UPDATE t SET a = 1, b = 2":                             {true, false, true},
		`DELETE FROM ONLY "u" WHERE a = 1`:                      {false, true, true},
		"UPDATE other SET a = 1":                                {false, false, true},
		"CALL p(1)":                                             {true, true, true},
		"TRUNCATE t":                                            {true, true, true},
		"WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x": {true, true, true},
		"BEGIN; DELETE FROM t":                                  {true, true, true},
		"SELECT 1 INTO z FROM t":                                {true, true, true},
		"SELECT 1 FROM t FOR UPDATE":                            {},
		"COMMIT":                                                {},
	} {
		wrong = append(wrong, again(p, func() []string { return s.changes(t, p, c, write, changes, reads) })...)
	}
	return p, wrong
}

// changes checks which of three reads a write changes.
func (s service) changes(t *testing.T, p *Probe, c net.Conn, write string, want [3]bool, reads []string) (wrong []string) {
	t.Helper()
	found, _ := s.all(t, p, c, append(append(slices.Clone(reads), simple(write)), reads...)...)
	if len(found) != 2*len(reads) {
		wrongly(&wrong, "%q: %d reads, want %d", write, len(found), 2*len(reads))
		return wrong
	}
	for i, want := range want {
		if got := found[i].Version != found[i+len(reads)].Version; got != want {
			wrongly(&wrong, "%q changes the version of read %d: %v, want %v", write, i, got, want)
		}
	}
	return wrong
}

// TestGuestNoReads checks calls whose answers no cache could have.
func TestGuestNoReads(t *testing.T) {
	unlessSkipped(t, checkKinds)
	unlessSkipped(t, checkNotRead)
}

func checkKinds(t *testing.T) (_ *Probe, wrong []string) {
	s, p, c := asker(t)
	for text, want := range map[string]Reads{
		"SELECT 1":                                           {},
		"SELECT nextval('s')":                                {},
		"SELECT * FROM f(1)":                                 {},
		"SELECT a FROM t FOR NO KEY UPDATE":                  {},
		"SELECT a FROM t WHERE b = 1 FOR SHARE":              {},
		"SELECT a FROM t; SELECT b FROM t":                   {Unclear: 1},
		"SELECT a FROM t WHERE b = $x$1$x$":                  {},
		"SELECT " + strings.Repeat("a", 2048) + " FROM t":    {},
		"COPY t FROM STDIN":                                  {Unclear: 1},
		"INSERT INTO t VALUES (1)":                           {Writes: 1},
		"INSERT INTO t VALUES" + strings.Repeat("(1),", 1e3): {Writes: 1},
		"ROLLBACK TO SAVEPOINT a":                            {},
		"SAVEPOINT a":                                        {},
		"DEALLOCATE ALL":                                     {},
		"SELECT a FROM t;":                                   {Calls: 1},
		"(SELECT a FROM t)":                                  {Calls: 1},
		"WITH x AS (SELECT a FROM t) SELECT a FROM x":        {Calls: 1},
	} {
		wrong = append(wrong, again(p, func() []string { return s.counts(t, p, c, text, simple(text), want) })...)
	}
	return p, append(wrong, s.checkMessages(t, p, c)...)
}

// counts checks what a message counts as.
func (s service) counts(t *testing.T, p *Probe, c net.Conn, name, message string, want Reads) (wrong []string) {
	t.Helper()
	_, n := s.all(t, p, c, message)
	if n.Time = 0; n != want {
		wrongly(&wrong, "%.40q: %+v, want %+v", name, n, want)
	}
	return wrong
}

// checkMessages checks several messages in one send.
func (s service) checkMessages(t *testing.T, p *Probe, c net.Conn) (wrong []string) {
	t.Helper()
	const read = "SELECT a FROM t WHERE b = $1"
	for name, try := range map[string]struct {
		message string
		want    Reads
	}{
		"two statements":                  {parseTo(read, "1") + parseTo("DELETE FROM t WHERE b = $1", "1"), Reads{Unclear: 1}},
		"a statement that is not run":     {parse("s9", read), Reads{}},
		"a statement that was not seen":   {bindTo("s8", "1"), Reads{Unclear: 1}},
		"a long parameter":                {parseTo(read, strings.Repeat("a", 5000)), Reads{}},
		"a long parameter of a write":     {parseTo("UPDATE t SET a = $1", strings.Repeat("a", 5000)), Reads{Writes: 1}},
		"a parameter of a thousand bytes": {parseTo(read, strings.Repeat("a", 1000)), Reads{Calls: 1}},
	} {
		wrong = append(wrong, again(p, func() []string { return s.counts(t, p, c, name, try.message, try.want) })...)
	}
	return wrong
}

// checkNotRead checks a read in a transaction.
func checkNotRead(t *testing.T) (_ *Probe, wrong []string) {
	s := serve(t, script(thinks, ready, inTransaction, inTransaction, ready))
	p := open(t)
	c := s.dial(t)
	say(t, c, simple("COMMIT"), ready)
	before := s.calls(t, p)
	outside.Must(t, p.Sample(before.Number, math.MaxUint64))
	say(t, c, simple("BEGIN"), inTransaction)
	say(t, c, simple("SELECT a FROM t"), inTransaction)
	say(t, c, simple("COMMIT"), ready)
	if found, n := s.found(t, p, before.Reads); len(found) != 0 || n.Calls != 0 {
		wrongly(&wrong, "%d reads in the sample, %d counted, want none in a transaction", len(found), n.Calls)
	}
	return p, wrong
}

// TestGuestSample checks that all reads with a key are in the sample, or none.
func TestGuestSample(t *testing.T) { unlessSkipped(t, checkSample) }

func checkSample(t *testing.T) (_ *Probe, wrong []string) {
	s, p, c := asker(t)
	u := s.calls(t, p)
	texts := make([]string, 0, 24)
	for i := range cap(texts) {
		texts = append(texts, simple("SELECT a FROM t WHERE b = "+strings.Repeat("1", i+1)))
	}
	const below = math.MaxUint64 / 2
	outside.Must(t, p.Sample(u.Number, below))
	keys := make(map[uint64]int)
	for range 2 {
		for _, m := range texts {
			say(t, c, m, ready)
		}
	}
	found, n := s.found(t, p, u.Reads)
	for _, r := range found {
		if keys[r.Key]++; r.Key >= below {
			wrongly(&wrong, "a key beyond the sample")
		}
	}
	for _, reads := range keys {
		if reads != 2 {
			wrongly(&wrong, "a key is read %d times, want 2", reads)
		}
	}
	if len(keys) == 0 || len(keys) == len(texts) || int(n.Calls) != 2*len(texts) || n.Lost != 0 {
		wrongly(&wrong, "%d of %d keys in the sample, %+v", len(keys), len(texts), n)
	}
	return p, wrong
}
