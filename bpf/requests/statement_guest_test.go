// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// message returns a message of PostgreSQL's protocol.
func message(kind byte, parts ...string) string {
	body := strings.Join(parts, "\x00") + "\x00"
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))) + body
}

func simple(statement string) string { return message('Q', statement) }
func parse(name, statement string) string {
	return message('P', name, statement, "\x00") + message('S')
}
func bind(name string) string { return message('B', "", name, "\x00\x00\x00\x00\x00") }

// ask sends each message, and returns the calls of each statement, the most frequent
// first.
func (s service) ask(t *testing.T, p *Probe, c net.Conn, messages ...string) []uint64 {
	t.Helper()
	s.calls(t, p)
	for _, m := range messages {
		say(t, c, m, ready)
	}
	var n []uint64
	for _, st := range s.calls(t, p).Statements {
		if n = append(n, st.Calls); st.Time <= 0 || st.Time > time.Minute {
			t.Errorf("%d calls took %v", st.Calls, st.Time)
		}
	}
	return n
}

func wrongly(wrong *[]string, format string, args ...any) {
	*wrong = append(*wrong, fmt.Sprintf(format, args...))
}

// thinks is the time for which a database works, at least. An answer that arrives before the
// probe has read the statement is one without a statement.
const thinks = 200 * time.Microsecond

// asker returns a connection to a service that answers each message.
func asker(t *testing.T) (service, *Probe, net.Conn) {
	s := serve(t, script(thinks, ready))
	p := open(t)
	c := s.dial(t)
	say(t, c, simple("BEGIN"), ready)
	return s, p, c
}

// TestGuestStatements checks which statements are alike.
func TestGuestStatements(t *testing.T) {
	for _, alike := range [][]string{
		{"SELECT t FROM o1 WHERE id=1", "SELECT t FROM o1 WHERE id = 42", "SELECT  t\n\tFROM o1 WHERE id = $1", "SELECT t FROM o1 WHERE id = 'x''y' -- page 7", "/* a * b */SELECT t FROM o1 WHERE id= 1.5e7"},
		{"SELECT 1 WHERE a IN (1)", "SELECT 1 WHERE a IN (1, 2,3)", "SELECT 1 WHERE a IN ($1,$2)", "SELECT 1 WHERE a IN ('a', 'd')"},
		{"SELECT 1 WHERE a = E'b\\'c' AND d = 2", "SELECT 1 WHERE a = E'x'AND d = 3"},
		{`SELECT "a" AS x`, `SELECT "a"AS x`},
		{"SELECT a - 1, b / 2", "SELECT a-2,b/3"},
	} {
		unlessSkipped(t, func(t *testing.T) (*Probe, []string) { return checkAlike(t, alike) })
	}
	unlessSkipped(t, checkDifferent)
}

func checkAlike(t *testing.T, alike []string) (_ *Probe, wrong []string) {
	s, p, c := asker(t)
	var all []string
	for _, text := range alike {
		all = append(all, simple(text), parse("", text))
	}
	if n := s.ask(t, p, c, all...); !slices.Equal(n, []uint64{uint64(len(all))}) {
		wrongly(&wrong, "%q: %d calls of each statement, want all %d of one", alike, n, len(all))
	}
	return p, wrong
}

func checkDifferent(t *testing.T) (_ *Probe, wrong []string) {
	s, p, c := asker(t)
	different := []string{"SELECT t FROM o1", "SELECT t FROM o2", "SELECT tFROM o1", `SELECT t FROM "o1"`, `SELECT t FROM "o 1"`, "SELECT t FROM o1 WHERE a",
		"SELECT t FROM o1 WHERE a, b", "SELECT t FROM o1 WHERE a, 1", "SELECT t FROM o1 WHERE -a", "INSERT INTO o VALUES (1)", "INSERT INTO o VALUES (1), (2)"}
	var all []string
	for _, text := range different {
		all = append(all, simple(text))
	}
	if n := s.ask(t, p, c, all[:maxStatements]...); len(n) != maxStatements || n[0] != 1 {
		wrongly(&wrong, "%d calls of each statement, want %d of one call", n, maxStatements)
	}
	if n := s.ask(t, p, c, all[maxStatements:]...); len(n) != len(all)-maxStatements || n[0] != 1 {
		wrongly(&wrong, "%d calls of each statement, want %d of one call", n, len(all)-maxStatements)
	}
	return p, wrong
}

// TestGuestPrepared checks prepared statements: the name stands for the text on its
// connection, and for itself if the text was not seen.
func TestGuestPrepared(t *testing.T) { unlessSkipped(t, checkPrepared) }

func checkPrepared(t *testing.T) (_ *Probe, wrong []string) {
	s, p, c := asker(t)
	const text = "SELECT t FROM o WHERE id = $1"
	if n := s.ask(t, p, c, parse("s1", text), bind("s1"), bind("s1"), simple(text), parse("", text), bind("")); !slices.Equal(n, []uint64{6}) {
		wrongly(&wrong, "%d calls of each statement, want 6 of one", n)
	}
	if n := s.ask(t, p, c, parse("s1", "SELECT 2 FROM o"), bind("s1"), bind("s2"), bind("s2"), bind("s2")); !slices.Equal(n, []uint64{3, 2}) {
		wrongly(&wrong, "%d calls of each statement, want 3 of the one without a text, 2 of the other", n)
	}
	other := s.dial(t)
	say(t, other, simple("BEGIN"), ready)
	if n := s.ask(t, p, other, bind("s1"), bind("s1")); !slices.Equal(n, []uint64{2}) {
		wrongly(&wrong, "%d calls of each statement, want 2 of one", n)
	}
	if n := s.ask(t, p, c, bind("s1")); !slices.Equal(n, []uint64{1}) {
		wrongly(&wrong, "%d calls of each statement, want 1 of one", n)
	}
	return p, wrong
}

// TestGuestLongStatement checks that what was not read to its end never counts.
func TestGuestLongStatement(t *testing.T) { unlessSkipped(t, checkLong) }

func checkLong(t *testing.T) (_ *Probe, wrong []string) {
	s, p, c := asker(t)
	const most = 2048 // bytes, with the last zero
	long := "SELECT " + strings.Repeat("a", most)
	if n := s.ask(t, p, c, simple(long), simple(long), parse("", long), message('P', "s", long, "\x00"), simple("SELECT $x$1$x$"), message('S')); len(n) != 0 {
		wrongly(&wrong, "%d calls of each statement, want none", n)
	}
	if n := s.ask(t, p, c, simple(long[:most-1])); !slices.Equal(n, []uint64{1}) {
		wrongly(&wrong, "%d calls of each statement, want 1: it fits", n)
	}
	return p, wrong
}
