// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/report/render"
	"github.com/headroom-project/headroom/cmd/headroom/internal/diagnosis"
)

// hostile has recordings with the largest, smallest and most unusual numbers that the
// reader accepts.
var hostile = []string{
	`{"schema":"headroom/recording/v1","host":{"name":"h","cpus":1,"memory":18446744073709551616}}
{"time":"0001-01-01T00:00:00Z","monotonic_ns":1,"entities":[{"n":0,"kind":"node","id":"node"},{"n":1,"kind":"cgroup","id":"/a","parent_kind":"cgroup","parent":"/a"},{"n":2,"kind":"process","id":"1:1","parent_kind":"cgroup","parent":"/a"}],"columns":[{"metric":"system.linux.memory.available","n":[0],"v":[1]},{"metric":"headroom.host.pressure{resource=cpu,kind=some}","n":[0],"v":[0]}]}
{"time":"9999-12-31T23:59:59Z","monotonic_ns":9223372036854775807,"columns":[{"metric":"system.linux.memory.available","n":[0],"v":[18446744073709551615]},{"metric":"process.unix.file_descriptor.count","n":[2],"v":[1e19]},{"metric":"headroom.host.pressure{resource=cpu,kind=some}","n":[0],"v":[1e19]}]}
`,
}

// FuzzDiagnose checks that any recording that can be read results in a report in every
// format.
func FuzzDiagnose(f *testing.F) {
	packed, err := os.Open("testdata/burn.hr")
	if err != nil {
		f.Fatal(err)
	}
	defer packed.Close() //nolint:errcheck // read only
	z, err := zstd.NewReader(packed)
	if err != nil {
		f.Fatal(err)
	}
	recorded, err := io.ReadAll(z)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(recorded)
	for _, text := range hostile {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		from, err := diagnosis.Replay(bytes.NewReader(file), "fuzz")
		if err != nil {
			return
		}
		result, err := diagnosis.Inquiry{}.Judge(context.Background(), from)
		if err != nil {
			return
		}
		r := &render.Document{Report: report.New(result, report.Options{}), Result: result}
		for name, write := range map[string]func(io.Writer) error{
			"json": r.JSON, "markdown": r.Markdown, "html": r.HTML,
			"text": func(w io.Writer) error { return r.Text(w, render.Style{Width: 80}) },
		} {
			if err := write(io.Discard); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
