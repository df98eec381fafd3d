// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// header is the first line of a plain recording.
const header = `{"schema":"` + Schema + `","host":{"cpus":2,"memory":1}}` + "\n"

// node describes an entity in the first snapshot of a recording.
const node = `{"monotonic_ns":1,"entities":[{"n":0,"kind":"node","id":"node"},{"n":1,"kind":"loop","id":"l"}]}` + "\n"

// readAll returns the number of snapshots that can be read, their gaps, and the error
// that ended the reading.
func readAll(in io.Reader) (n int, gaps []observe.Gap, err error) {
	r, err := NewReader(in)
	if err != nil {
		return 0, nil, err
	}
	for ; ; n++ {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, gaps, nil
		}
		if err != nil {
			return n, gaps, err
		}
		gaps = append(gaps, s.Gaps...)
	}
}

// packed returns a reader of the compressed output of write, which is produced while it
// is read.
func packed(t *testing.T, write func(io.Writer) error) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		err := write(z)
		_ = w.CloseWithError(errors.Join(err, z.Close())) // closing the reader early is not an error of write
	}()
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// endless writes text repeatedly without end.
func endless(w io.Writer, text string) error {
	block := []byte(strings.Repeat(text, 1+(1<<20)/len(text)))
	for {
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
}

// TestBombs checks that input that decompresses to more than a recording may have ends
// in one error, and takes little time and memory.
func TestBombs(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"header": func(w io.Writer) error {
			_, err := io.WriteString(w, `{"schema":"`+Schema+`","tool":"`)
			return errors.Join(err, endless(w, "a"))
		},
		"line": func(w io.Writer) error {
			_, err := io.WriteString(w, header+`{"gaps":[`)
			return errors.Join(err, endless(w, " "))
		},
		"snapshots": func(w io.Writer) error {
			_, err := io.WriteString(w, header)
			for n := 1; err == nil; n++ {
				_, err = fmt.Fprintf(w, `{"monotonic_ns":%d}`+"\n", n)
			}
			return err
		},
		"padded snapshots": func(w io.Writer) error {
			_, err := io.WriteString(w, header)
			for n := 1; err == nil; n++ {
				_, err = fmt.Fprintf(w, `{"monotonic_ns":%d}%s`+"\n", n, strings.Repeat(" ", 1<<20))
			}
			return err
		},
		"objects": func(w io.Writer) error {
			_, err := io.WriteString(w, header+`{"gaps":[{}`+strings.Repeat(",{}", maxObjects)+"]}\n")
			return err
		},
		"values": func(w io.Writer) error {
			_, err := io.WriteString(w, header+`{"columns":[{"v":[0`+strings.Repeat(",0", maxValues+1)+"]}]}\n")
			return err
		},
		"gaps": func(w io.Writer) error {
			_, err := io.WriteString(w, header+`{"gaps":[{}`)
			for n := range maxGaps + 1 {
				_, _ = fmt.Fprintf(w, `,{"source":"%d"}`, n)
			}
			_, _ = io.WriteString(w, "]}\n")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := readAll(packed(t, write)); !errors.Is(err, ErrTooLarge) || errors.As(err, new(*Incomplete)) {
				t.Errorf("%v, want ErrTooLarge", err)
			}
		})
	}
}

// TestManyEntities checks that the number of entities is limited over all snapshots
// together.
func TestManyEntities(t *testing.T) {
	write := func(w io.Writer) error {
		_, err := io.WriteString(w, header)
		for n := 0; err == nil && n < 2*maxEntities; {
			var line bytes.Buffer
			_, _ = fmt.Fprintf(&line, `{"monotonic_ns":%d,"entities":[{"n":-1,"kind":"node","id":"x"}`, n+1)
			for range maxEntities / 4 {
				_, _ = fmt.Fprintf(&line, `,{"n":%d,"kind":"process","id":"%d"}`, n, n)
				n++
			}
			line.WriteString("]}\n")
			_, err = w.Write(line.Bytes())
		}
		return err
	}
	if n, _, err := readAll(packed(t, write)); !errors.Is(err, ErrTooLarge) || n > 5 {
		t.Errorf("%d snapshots, %v, want ErrTooLarge", n, err)
	}
}

// TestDamaged checks that everything before an error is read, and that the message
// gives the position of the error.
func TestDamaged(t *testing.T) {
	for name, line := range map[string]string{
		"blank lines": strings.Repeat("\n", 2*maxBlank), "garbage": "\x00\xff{]", "other JSON": "[1]", "number beyond float64": `{"monotonic_ns":2,"columns":[{"metric":"system.cpu.logical.count","n":[0],"v":[1e999]}]}`,
		"time of 2^63": `{"monotonic_ns":9223372036854775808}`, "time going back": `{"monotonic_ns":0}`, "time at rest": `{"monotonic_ns":1}`, "negative time": `{"monotonic_ns":-1}`,
		"second header": strings.TrimSpace(header), "not a date": `{"monotonic_ns":2,"time":"tomorrow"}`,
		"unknown entity":       `{"monotonic_ns":2,"columns":[{"metric":"system.cpu.logical.count","n":[9],"v":[1]}]}`,
		"negative entity":      `{"monotonic_ns":2,"columns":[{"metric":"system.cpu.logical.count","n":[-1],"v":[1]}]}`,
		"entity of 2^31":       `{"monotonic_ns":2,"entities":[{"n":2147483648,"kind":"node","id":"x"}]}`,
		"unknown kind":         `{"monotonic_ns":2,"entities":[{"n":3,"kind":"dragon","id":"x"}]}`,
		"values missing":       `{"monotonic_ns":2,"columns":[{"metric":"system.cpu.logical.count","n":[0],"v":[]}]}`,
		"no such bucket":       `{"monotonic_ns":2,"histograms":[{"metric":"` + catalog.LoopLag.Key() + `","n":1,"b":[100000],"count":[1],"sum":[1]}]}`,
		"long name":            `{"monotonic_ns":2,"entities":[{"n":3,"kind":"node","id":"` + strings.Repeat("x", maxText+1) + `"}]}`,
		"negative stall":       `{"monotonic_ns":2,"stalls":[{"n":1,"start":"2026-11-23T03:00:00Z","duration":-1}]}`,
		"stall of an eternity": `{"monotonic_ns":2,"stalls":[{"n":1,"start":"2026-11-23T03:00:00Z","duration":1e300}]}`,
	} {
		n, _, err := readAll(strings.NewReader(header + node + line + "\n" + `{"monotonic_ns":3}` + "\n"))
		var part *Incomplete
		if n != 1 || !errors.As(err, &part) || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTruncated) || part.Snapshots != 1 {
			t.Errorf("%s: %d snapshots, %v, want 1 and ErrDamaged", name, n, err)
		}
	}
}

// TestImpossibleValues checks that impossible values are left out, and that a gap
// reports them.
func TestImpossibleValues(t *testing.T) {
	for _, v := range []string{"-1", "1e308", "-1e308", "18446744073709600000"} {
		n, gaps, err := readAll(strings.NewReader(header + node + `{"monotonic_ns":2,"columns":[{"metric":"system.cpu.logical.count","n":[0],"v":[` + v + `]}]}`))
		if n != 2 || err != nil || len(gaps) != 1 || gaps[0].Source != GapRecording {
			t.Errorf("%s: %d snapshots, %v, gaps %v", v, n, err, gaps)
		}
	}
}

// TestDamagedAnywhere checks that a compressed recording that was changed or truncated
// at any position yields the snapshots before that position, and never panics.
func TestDamagedAnywhere(t *testing.T) {
	whole := recording(t, 20)
	for at := 0; at < len(whole); at += 7 {
		changed := bytes.Clone(whole)
		changed[at] ^= 0x55
		for name, file := range map[string][]byte{"changed": changed, "cut off": whole[:at]} {
			n, _, err := readAll(bytes.NewReader(file))
			if err == nil && n < 20 || n > 20 {
				t.Errorf("%s at %d of %d: %d snapshots and no error", name, at, len(whole), n)
			}
		}
	}
}

func TestHeaderOfNoHost(t *testing.T) {
	for _, host := range []string{"{}", `{"cpus":-1}`, `{"cpus":1000000}`, `{"cpus":1,"memory":-1}`, `{"cpus":1,"memory":1e300}`} {
		if _, err := NewReader(strings.NewReader(`{"schema":"` + Schema + `","host":` + host + "}\n")); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", host, err)
		}
	}
}

// TestNewerFormat checks that the error names the version that can read the recording.
func TestNewerFormat(t *testing.T) {
	_, err := NewReader(strings.NewReader(`{"schema":"headroom/recording/v9","tool":"9.1"}`))
	if err == nil || !strings.Contains(err.Error(), "use the version that wrote it") {
		t.Errorf("%v", err)
	}
}

// FuzzReader checks that no input makes the reader panic or return impossible values.
func FuzzReader(f *testing.F) {
	f.Add([]byte(header + node + `{"monotonic_ns":2,"columns":[{"metric":"system.cpu.logical.count","n":[-5],"v":[2]}]}`))
	f.Add([]byte(header + node + `{"monotonic_ns":2,"histograms":[{"metric":"` + catalog.LoopLag.Key() + `","n":1,"b":[1],"count":[1],"sum":[1]}]}`))
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file))
		for err == nil {
			var s *observe.Snapshot
			if s, err = r.Next(); err != nil {
				break
			}
			for _, m := range s.Metrics() {
				for id, v := range s.Values(m) {
					if math.IsNaN(v) || v < 0 || v > maxValue {
						t.Errorf("%s of %v is %v", m.Key(), s.Index.Entity(id), v)
					}
				}
			}
		}
	})
}
